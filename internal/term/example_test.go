package term_test

import (
	"fmt"
	"io"
	"os"
	"strings"

	"socketsrv/internal/term"
)

// A program with a prompt at a terminal, which also reads a pipe, as here.
func Example() {
	in, feed, err := os.Pipe()
	if err != nil {
		fmt.Println(err)
		return
	}
	io.WriteString(feed, "list_clients\r\nsend tcp 0 hello")
	feed.Close()

	history := &term.History{} // history.Load(term.HistoryFile("dump")) for a real one
	ed, err := term.NewEditor(in, os.Stdout, term.Options{
		Prompt:  "> ",
		History: history,
		Complete: func(line string, pos int) (start int, candidates []string) {
			for _, command := range []string{"help", "list_clients", "quit", "send"} {
				if strings.HasPrefix(command, line[:pos]) {
					candidates = append(candidates, command)
				}
			}
			return 0, candidates
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ed.Close()
	for {
		line, err := ed.ReadLine()
		if err != nil { // io.EOF, or term.ErrInterrupted at Ctrl-C
			fmt.Fprintln(ed, err)
			return
		}
		fmt.Fprintf(ed, "%q\n", line) // above the line being typed, if one is
	}
	// Output:
	// "list_clients"
	// "send tcp 0 hello"
	// EOF
}
