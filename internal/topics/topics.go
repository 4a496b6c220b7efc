// Package topics is what -help has beside modes: recipes, and what to type here for
// what one typed elsewhere. Tests read every command line.
package topics

import "socketsrv/internal/cli"

// All are the topics of the program.
var All = []cli.Topic{recipes, fromNC, fromSocat, fromWscat, fromWebsocat, fromWstest, fromCurl}

var recipes = cli.Topic{Name: "recipes", Title: "Tasks, each one command", Rows: [][2]string{
	{"See what a device sends, over TCP, UDP or WebSocket", "socketsrv"},
	{"The same on one TCP port, as a hex dump with times", "socketsrv -tcp-port 4000 -udp-port off -ws-port off -format hex -t"},
	{"As JSON lines, for a program", "socketsrv -json -tcp-port 4000"},
	{"Keep it all in a file", "socketsrv -record session.jsonl"},
	{"Keep it as a capture for Wireshark, TLS decrypted", "socketsrv -tls -record session.pcapng"},
	{"Answer every message by a text", "socketsrv -reply 'you said {}'"},
	{"Answer every message by a program", "socketsrv -exec 'tr a-z A-Z'"},
	{"Echo messages of MLLP, as HL7 has them", "socketsrv -echo -tcp-port 2575 -ws-port off -framing mllp"},
	{"Say something to whoever connects", "socketsrv -greet hello"},
	{"An echo server for WebSocket", "socketsrv -echo -port 8008"},
	{"An echo server with TLS and a certificate made on the spot", "socketsrv -echo -tls -port 8443"},
	{"An echo server for TCP and UDP", "socketsrv -echo -tcp-port 7777 -udp-port 7777"},
	{"Everybody hears everybody", "socketsrv -broadcast -port 9999"},
	{"Chat over it", "socketsrv -chat ws://localhost:9999 alice"},
	{"A server of commands, a line each", "socketsrv -line -reply version=1.0"},
	{"The same for many clients, answered by a program", "socketsrv -line -multi -exec ./commands"},
	{"A prompt to a WebSocket server", "socketsrv -connect ws://localhost:8008/chat"},
	{"One message, one answer, in a script", "socketsrv -connect localhost:8008 -m hello -count 1 -timeout 5s"},
	{"Wait for an answer that matches", "socketsrv -connect tcp://localhost:1234 -m STATUS -expect '^OK' -timeout 5s"},
	{"Send bytes", "socketsrv -connect tcp://localhost:502 -m-binary '00 01 00 00 00 06 01 03 00 00 00 01' -count 1"},
	{"Talk TLS, trusting just one certificate", "socketsrv -connect tls://localhost:8443 -pin sha256:0589df2137dcf62a55afb7080732953caf5d4b2383cd063c9126f94644255d2f"},
	{"Talk through a proxy", "socketsrv -connect wss://example.org/ -proxy socks5://localhost:1080"},
	{"Time a WebSocket server", "socketsrv -ping ws://localhost:8008"},
	{"Time a TCP port", "socketsrv -ping -c 5 tcp://localhost:22"},
	{"Fetch a page", "socketsrv -curl http://localhost:8080/"},
	{"Post JSON", "socketsrv -curl --json '{\"a\":1}' http://localhost:8080/hook"},
	{"Go on with a download that broke off", "socketsrv -curl -C - -O --retry 5 http://localhost:8080/big.bin"},
	{"Serve the files of a folder", "socketsrv -httpd files"},
	{"Take uploads, from others too, with a password", "socketsrv -httpd -host 0.0.0.0 -upload -auth me:s3cret files"},
	{"See every request of a webhook", "socketsrv -httpd -D"},
	{"A relay for files", "socketsrv -transfer"},
	{"Take files from it", "socketsrv -receive ws://localhost:8008 in"},
	{"Send files over it", "socketsrv -send ws://localhost:8008 big.bin"},
	{"Pass WebSocket connections on, and see them", "socketsrv -proxy -remote-host ws://localhost:8008 -v"},
	{"A WebSocket in front of a TCP service", "socketsrv -proxy -remote-host tcp://localhost:1883 -port 8083"},
	{"Stand between an app and a device, and record both", "socketsrv -proxy -listen tcp://:4001 -remote-host tcp://meter:4000 -record s.jsonl"},
	{"Play the device of that recording", "socketsrv -play s.jsonl -listen tcp://:4000"},
	{"Play the app, and check what the device says", "socketsrv -play s.jsonl tcp://meter:4000"},
	{"Judge a WebSocket server", "socketsrv -conform ws://localhost:8008"},
	{"Is this box all right?", "socketsrv -selftest"},
}}

var fromNC = cli.Topic{Name: "from nc", Title: "What nc and ncat do, here", Rows: [][2]string{
	{"nc -l 4000", "socketsrv -tcp-port 4000 -udp-port off -ws-port off"},
	{"nc -lu 4000", "socketsrv -tcp-port off -udp-port 4000 -ws-port off"},
	{"nc host 80", "socketsrv -connect tcp://host:80"},
	{"nc -C host 25", "socketsrv -connect tcp://host:25 -eol crlf"},
	{"nc -u host 53", "socketsrv -connect udp://host:53"},
	{"nc -U /run/s", "socketsrv -connect unix:/run/s"},
	{"nc -z host 22", "socketsrv -ping -c 1 tcp://host:22"},
	{"ncat --ssl host 443", "socketsrv -connect tls://host:443"},
	{"ncat -l 4000 --ssl", "socketsrv -tls -tcp-port 4000"},
	{"ncat -l 4000 -e CMD", "socketsrv -tcp-port 4000 -exec CMD"},
	{"ncat --proxy p:8080 host 80", "socketsrv -connect tcp://host:80 -proxy http://p:8080"},
}}

var fromSocat = cli.Topic{Name: "from socat", Title: "What socat does, here", Rows: [][2]string{
	{"socat -x TCP-LISTEN:4000 -", "socketsrv -tcp-port 4000 -format hex"},
	{"socat - TCP:host:80", "socketsrv -connect tcp://host:80"},
	{"socat - OPENSSL:host:443", "socketsrv -connect tls://host:443"},
	{"socat - UNIX-CONNECT:/run/s", "socketsrv -connect unix:/run/s"},
	{"socat UDP-RECVFROM:4000,fork EXEC:cat", "socketsrv -echo -udp-port 4000 -ws-port off"},
	{"socat UDP4-RECV:4000,ip-add-membership=239.1.1.1:eth0 -", "socketsrv -udp-addr 239.1.1.1 -udp-port 4000"},
}}

var fromWscat = cli.Topic{Name: "from wscat", Title: "What wscat does, here", Rows: [][2]string{
	{"wscat -c ws://host/", "socketsrv -connect ws://host/"},
	{"wscat -c wss://host -n", "socketsrv -connect wss://host -k"},
	{"wscat -c ws://host -x hello", "socketsrv -connect ws://host -m hello"},
	{"wscat -c ws://host -H 'A: b'", "socketsrv -connect ws://host -H 'A: b'"},
	{"wscat -c ws://host -s mqtt", "socketsrv -connect ws://host -subprotocol mqtt"},
	{"wscat -c ws://host --auth me:pw", "socketsrv -connect ws://host -u me:pw"},
	{"wscat -P -c ws://host", "socketsrv -connect ws://host -P"},
	{"wscat -l 8008", "socketsrv -ws-port 8008 -tcp-port off -udp-port off"},
}}

var fromWebsocat = cli.Topic{Name: "from websocat", Title: "What websocat does, here", Rows: [][2]string{
	{"websocat ws://host/", "socketsrv -connect ws://host/"},
	{"websocat -b wss://host/ssh", "socketsrv -connect wss://host/ssh -b"},
	{"websocat -n1 ws://host", "socketsrv -connect ws://host -count 1"},
	{"websocat -s 8008", "socketsrv -ws-port 8008"},
	{"websocat --binary ws-l:127.0.0.1:8083 tcp:host:1883", "socketsrv -proxy -remote-host tcp://host:1883 -port 8083"},
	{"websocat -t ws-l:8008 broadcast:mirror:", "socketsrv -broadcast -port 8008 -no-announce"},
}}

var fromWstest = cli.Topic{Name: "from wstest", Title: "What Autobahn's wstest does; a link called wstest is enough", Rows: [][2]string{
	{"wstest -m fuzzingclient -s spec.json", "socketsrv -conform -s spec.json"},
	{"wstest -m fuzzingserver -s spec.json", "socketsrv -conform -s spec.json"},
	{"wstest -m fuzzingserver", "socketsrv -conform -cases '*' -port 9001 -out reports/clients"},
	{"wstest -m echoserver -w ws://localhost:9000", "socketsrv -echo -port 9000"},
	{"wstest -m broadcastserver -w ws://localhost:9000", "socketsrv -broadcast -port 9000 -no-announce"},
}}

var fromCurl = cli.Topic{Name: "from curl", Title: "curl's command lines work as they are; a link called curl is enough", Rows: [][2]string{
	{"curl -sSL https://host/", "socketsrv -curl -sSL https://host/"},
	{"curl -O -C - http://host/f", "socketsrv -curl -O -C - http://host/f"},
	{"curl -F 'f=hello' http://host/", "socketsrv -curl -F 'f=hello' http://host/"},
	{"curl -T - http://host/f", "socketsrv -curl -T - http://host/f"},
	{"curl -N ws://host/", "socketsrv -curl -N ws://host/"},
}}
