package curl

import (
	"socketsrv/internal/cli"
	"strings"
)

// foreign knows the flags of curl that are not taken here.
func foreign(fs *cli.Flags, word string) error {
	name, _ := cli.Undash(word)
	letter := ""
	for i := 0; i < len(name) && !strings.HasPrefix(word, "--"); i++ {
		if fs.IsSwitch(name[i : i+1]) {
			continue // one of a bundle
		}
		letter = name[i : i+1]
		break
	}
	for flag := range strings.FieldsSeq(missing) {
		switch short, long, _ := strings.Cut(flag, "/"); {
		case name == long, long == "expand-" && strings.HasPrefix(name, long):
			return cli.Usagef("%q is a flag of curl's that is not supported here", word)
		case letter != "" && letter == short:
			return cli.Usagef("\"-%s\" (--%s) is a flag of curl's that is not supported here", letter, long)
		}
	}
	return nil
}

// missing are those of curl that are missing here, with their letters.
const missing = `/abstract-unix-socket /alt-svc a/append /aws-sigv4 /cert-status
/create-file-mode /crlf /crlfile /curves /delegation /disable-eprt /disable-epsv /dns-interface /dns-ipv4-addr /dns-ipv6-addr
/dns-servers /doh-cert-status /doh-insecure /doh-url /dump-ca-embed /ech /egd-file /engine /eprt /epsv
/expand- /ftp-account /ftp-alternative-to-user /ftp-create-dirs /ftp-method /ftp-pasv P/ftp-port /ftp-pret
/ftp-skip-pasv-ip /ftp-ssl /ftp-ssl-ccc /ftp-ssl-ccc-mode /ftp-ssl-control /ftp-ssl-reqd /hostpubmd5 /hostpubsha256
/hsts /http2-prior-knowledge /http3 /http3-only /httpsig-algo /httpsig-headers /httpsig-key /httpsig-keyid /ip-tos
/ipfs-gateway /knownhosts /krb /krb4 /libcurl l/list-only /login-options /mail-auth /mail-from /mail-rcpt
/mail-rcpt-allowfails M/manual /metalink /negotiate /ntlm /ntlm-wb /parallel-max-host /pass /preproxy
/proxy-ca-native /proxy-capath /proxy-cert-type /proxy-ciphers /proxy-crlfile /proxy-http2 /proxy-http3 /proxy-key-type
/proxy-negotiate /proxy-ntlm /proxy-pass /proxy-pinnedpubkey /proxy-service-name /proxy-ssl-allow-beast
/proxy-ssl-auto-client-cert /proxy-tls13-ciphers /proxy-tlsauthtype /proxy-tlspassword /proxy-tlsuser /proxy-tlsv1 /pubkey
Q/quote /random-file /rate /sasl-authzid /sasl-ir /service-name /sigalgs /socks5-basic /socks5-gssapi /socks5-gssapi-nec
/socks5-gssapi-service /ssl-sessions 2/sslv2
3/sslv3 t/telnet-option /test-duphandle /test-event /tftp-blksize /tftp-no-options /tls-earlydata /tls13-ciphers /tlsauthtype
/tlspassword /tlsuser /tr-encoding /upload-flags B/use-ascii /variable /vlan-priority /wdebug /xattr`
