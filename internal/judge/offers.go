package judge

import "fmt"

// Group x.extension.offer, .broken, .answer: the negotiation of permessage-deflate (RFC 6455 §9.1, RFC 7692 §7.1).

// offerCases offers to servers and answers to clients. The server has to take the
// first element that it can take, to decline what is not valid and to refuse what
// is no list; the client has to take what it offered and to refuse all else.
func offerCases() cases {
	talk := []step{doEchoes(1, 0, 3, func(i int) []byte { return repeated("window and context, ", 3000+i) }), mustEnd()}
	var all cases
	add := func(format string, from, to int) {
		for n := from; n <= to; n++ {
			offer := format
			if to > from {
				offer = fmt.Sprintf(format, n)
			}
			all = append(all, newCase(fmt.Sprintf("x.extension.offer.%d", len(all)), fmt.Sprintf("the offer %q", offer), talk...).offering(offer))
		}
	}
	for _, offer := range []string{
		"permessage-deflate",
		"permessage-deflate; server_no_context_takeover",
		"permessage-deflate; client_no_context_takeover",
		"permessage-deflate; client_max_window_bits",
		"permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10; client_max_window_bits=9",
		" permessage-deflate ; client_max_window_bits ;\tserver_no_context_takeover ",
		"permessage-deflate;client_max_window_bits;server_max_window_bits=12",
		"x-webkit-deflate-frame, permessage-deflate",
		"unknown; a=1; b, , permessage-deflate",
		"permessage-deflate; server_max_window_bits=7, permessage-deflate",
		"permessage-deflate; unknown, permessage-deflate; server_max_window_bits=10",
		"permessage-deflate; server_max_window_bits=10, permessage-deflate",
	} {
		add(offer, 0, 0)
	}
	add("permessage-deflate; server_max_window_bits=%d", 8, 15)
	add("permessage-deflate; client_max_window_bits=%d", 8, 15)
	for _, offer := range []string{ // none of which can be taken
		"server_max_window_bits=7", "server_max_window_bits=16", "server_max_window_bits=08", "server_max_window_bits=0", "server_max_window_bits=1e1",
		"server_max_window_bits=-8", "server_max_window_bits=+8", "server_max_window_bits", "client_max_window_bits=7", "client_max_window_bits=16",
		"client_max_window_bits=010", "client_max_window_bits=99999999999999999999", "server_no_context_takeover=1", "client_no_context_takeover=true",
		"server_no_context_takeover; server_no_context_takeover", "client_max_window_bits; client_max_window_bits=9", "server_max_window_bits=9; server_max_window_bits=9",
		"unknown", "unknown=1", "server_no_context_takeover; mux", "Server_No_Context_Takeove",
	} {
		add("permessage-deflate; "+offer, 0, 0)
	}
	for i, offer := range []string{"permessage-deflate;", "permessage-deflate; ;", "permessage-deflate; =1", "permessage-deflate server_no_context_takeover",
		"permessage-deflate; server_max_window_bits=", "per/message", "permessage-deflate; a=\"open", "permessage-deflate; a=\"b c\"", "; permessage-deflate"} {
		all = append(all, newCase(fmt.Sprintf("x.extension.broken.%d", i), fmt.Sprintf("the offer %q is no list of extensions (§9.1)", offer), talk...).offering(offer).refusing("400"))
	}
	return append(all, answerCases(talk)...)
}

func answerCases(talk []step) cases {
	either := func(p *prober) error {
		if p.refusable {
			return mustHangUp(p)
		}
		return p.play(talk)
	}
	var all cases
	add := func(answer string) {
		all = append(all, newCase(fmt.Sprintf("x.extension.answer.%d", len(all)),
			fmt.Sprintf("the answer %q (RFC 6455 §4.1, RFC 7692 §7.1)", answer), either).answering(answer))
	}
	for _, s := range []string{"", "; server_no_context_takeover", "; client_no_context_takeover", "; server_no_context_takeover; client_no_context_takeover",
		";server_max_window_bits=10 ;\tclient_no_context_takeover", "; server_max_window_bits=9; client_max_window_bits=9; server_no_context_takeover; client_no_context_takeover",
		"; server_max_window_bits", "; client_max_window_bits", "; server_max_window_bits=7", "; server_max_window_bits=16", "; server_max_window_bits=08", "; client_max_window_bits=7",
		"; client_max_window_bits=16", "; client_max_window_bits=009", "; server_no_context_takeover=1", "; client_no_context_takeover=0", "; unknown", "; unknown=2",
		"; server_no_context_takeover; server_no_context_takeover", "; server_max_window_bits=9; server_max_window_bits=9", "; client_max_window_bits=9; client_max_window_bits=10",
		", permessage-deflate", ", unknown", ";", "; =", " x", "; server_max_window_bits="} {
		add("permessage-deflate" + s)
	}
	for n := 8; n <= 15; n++ {
		add(fmt.Sprintf("permessage-deflate; server_max_window_bits=%d", n))
		add(fmt.Sprintf("permessage-deflate; client_max_window_bits=%d", n))
		add(fmt.Sprintf("permessage-deflate; client_max_window_bits=%d; client_no_context_takeover", n))
	}
	for _, s := range []string{"unknown", "x-webkit-deflate-frame", "permessage-bzip2", "permessage-deflat", "permessage-deflate2", "a=b"} {
		add(s)
	}
	return all
}
