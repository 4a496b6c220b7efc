package wire

import "strconv"

// Chat is a line that somebody said.
type Chat struct{ User, Text string }

// AppendChat appends a chat message.
func AppendChat(dst []byte, f Format, c Chat) []byte {
	return Append(dst, f, Message{{Name: "text", Value: []byte(c.Text)}, {Name: "user", Value: []byte(c.User)}})
}

// Chat returns what m says, if it is a chat message. Text and User may hold any
// bytes.
func (m Message) Chat() (c Chat, ok bool) {
	text, hasText := m.Get("text")
	user, hasUser := m.Get("user")
	return Chat{string(user), string(text)}, hasText && hasUser
}

// File is a whole file on its way.
type File struct {
	ID      string // of the transfer: 32 hexadecimal digits, lower case
	Name    string // as the sender typed it, folders included
	Content []byte
	Hash    string // HashText of the content; AppendFile computes it if empty
}

// AppendFile appends a file message.
func AppendFile(dst []byte, f Format, file File) []byte {
	if file.Hash == "" {
		file.Hash = HashText(file.Content)
	}
	return Append(dst, f, Message{
		{Name: "content", Value: file.Content, Type: Bytes},
		{Name: "djb2_hash", Value: []byte(file.Hash)},
		{Name: "filename", Value: []byte(file.Name)},
		{Name: "id", Value: []byte(file.ID)},
		{Name: "kind", Value: []byte("send")}, // nobody looks at it
	})
}

// File returns the file in m, if m is a file message. Nothing in it is to be
// trusted: Name may be any path, Hash be wrong.
func (m Message) File() (f File, ok bool) {
	content, hasContent := m.Get("content")
	hash, hasHash := m.Get("djb2_hash")
	name, hasName := m.Get("filename")
	id, _ := m.Get("id")
	return File{string(id), string(name), content, string(hash)}, hasContent && hasHash && hasName
}

// Intact says whether the content has the hash that came with it.
func (f File) Intact() bool { return f.Hash == HashText(f.Content) }

// Answer is what a receiver says to a file: that it has it, or what is wrong.
type Answer struct {
	ID   string // that of the file; of an error ""
	Name string // as it came; of an error ""
	Err  string // "" is an acknowledgement
}

// HashMismatch is what the tool's receiver says of a file whose hash is another.
const HashMismatch = "Hash mismatch."

// AppendAnswer appends an ack or error message.
func AppendAnswer(dst []byte, f Format, a Answer) []byte {
	if a.Err == "" {
		return Append(dst, f, Message{
			{Name: "ack", Value: []byte("true"), Type: Bool},
			{Name: "filename", Value: []byte(a.Name)},
			{Name: "id", Value: []byte(a.ID)},
		})
	}
	return Append(dst, f, Message{
		{Name: "id", Value: []byte(a.ID)},
		{Name: "kind", Value: []byte("error")},
		{Name: "message", Value: []byte(a.Err)},
	})
}

// Answer returns the answer in m, if it is one.
func (m Message) Answer() (a Answer, ok bool) {
	id, _ := m.Get("id")
	name, _ := m.Get("filename")
	a = Answer{ID: string(id), Name: string(name)}
	if ack, _ := m.Get("ack"); string(ack) == "true" {
		return a, true
	}
	kind, _ := m.Get("kind")
	text, _ := m.Get("message")
	a.Err = string(text)
	return a, string(kind) == "error" && a.Err != ""
}

// HashText returns the DJB2 of p, h*33 + byte for each from 5381 on modulo 2^64, in
// decimal digits, as it stands in a file message.
func HashText(p []byte) string {
	h := uint64(5381)
	for _, c := range p {
		h = h*33 + uint64(c)
	}
	return strconv.FormatUint(h, 10)
}
