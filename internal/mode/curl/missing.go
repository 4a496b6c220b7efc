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
		case name == long:
			return cli.Usagef("%q is a flag of curl's that is not supported here", word)
		case letter != "" && letter == short:
			return cli.Usagef("\"-%s\" (--%s) is a flag of curl's that is not supported here", letter, long)
		}
	}
	return nil
}

// missing are those of curl that are missing here, with their letters.
const missing = `/abstract-unix-socket /alt-svc a/append /aws-sigv4 /capath /cert-status /cert-type /ciphers /compressed-ssh 
/create-file-mode /crlf /crlfile /curves /delegation /digest /disable-eprt /disable-epsv /disallow-username-in-url /dns-interface
/dns-ipv4-addr /dns-ipv6-addr /dns-servers /doh-cert-status /doh-insecure /doh-url /egd-file /engine /etag-compare /etag-save
/false-start /form-escape /ftp-account /ftp-create-dirs /ftp-method /ftp-pasv P/ftp-port /ftp-pret /ftp-skip-pasv-ip /ftp-ssl-ccc
/haproxy-protocol /hostpubmd5 /hostpubsha256 /hsts /http0.9 /http2-prior-knowledge /http3 /http3-only /ignore-content-length
/interface /ipfs-gateway /key-type /krb /libcurl l/list-only /local-port /login-options /mail-auth /mail-from /mail-rcpt M/manual
/metalink /negotiate n/netrc /netrc-file /netrc-optional /no-clobber /ntlm /ntlm-wb /pass /preproxy /proxy-anyauth /proxy-cacert
/proxy-capath /proxy-cert /proxy-ciphers /proxy-digest /proxy-header /proxy-insecure /proxy-key /proxy-negotiate /proxy-ntlm
/proxy-pass /proxy-pinnedpubkey /proxy-tls13-ciphers /proxy-tlsv1 /proxy1.0 /pubkey Q/quote /random-file /rate /sasl-authzid
/sasl-ir /service-name /socks4 /socks4a /socks5-basic /socks5-gssapi /ssl /ssl-reqd 2/sslv2 3/sslv3 /stderr /tcp-nodelay
t/telnet-option /tftp-blksize /tftp-no-options /tls13-ciphers /tlspassword /tlsuser /tr-encoding /trace /trace-ascii /trace-ids
/trace-time B/use-ascii /variable /expand-data /expand-url /vlan-priority /ip-tos /xattr /skip-existing /0.9`
