package httpmini

import "strings"

const (
	octets = "application/octet-stream"
	plain  = "text/plain; charset=utf-8"
)

// contentTypes is what file name extensions mean. The types of text come first:
// they are worth compressing.
var contentTypes = [...]struct {
	contentType string
	extensions  string // each between blanks
	text        bool
}{
	{"text/html; charset=utf-8", " html htm shtml ", true},
	{plain, " txt text log conf cfg cnf ini env properties md markdown rst adoc org tex bib diff patch list lst " +
		"sh bash zsh fish bat cmd ps1 awk sed py rb pl pm lua tcl r go rs c h cc cpp cxx hh hpp hxx cs java kt scala swift m mm " +
		"s asm zig nim d pas f90 vhd vhdl sv v ino pde dts dtsi ld mk mak cmake gradle sql php asp jsp ts tsx jsx vue svelte " +
		"proto thrift dockerfile service rules nfo asc sha1 sha256 sha512 md5 pem crt key srt hex ihex srec ", true},
	{"text/css; charset=utf-8", " css ", true},
	{"text/javascript; charset=utf-8", " js mjs cjs ", true},
	{"text/csv; charset=utf-8", " csv ", true},
	{"text/tab-separated-values; charset=utf-8", " tsv ", true},
	{"text/calendar; charset=utf-8", " ics ", true},
	{"text/vcard; charset=utf-8", " vcf ", true},
	{"text/vtt; charset=utf-8", " vtt ", true},
	{"application/json", " json map geojson har ipynb ", true},
	{"application/ld+json", " jsonld ", true},
	{"application/x-ndjson", " jsonl ndjson ", true},
	{"application/manifest+json", " webmanifest ", true},
	{"application/yaml", " yaml yml ", true},
	{"application/toml", " toml ", true},
	{"application/xml", " xml xsd xsl xslt dtd rng plist kml gpx ", true},
	{"application/xhtml+xml", " xhtml xht ", true},
	{"application/rss+xml", " rss ", true},
	{"application/atom+xml", " atom ", true},
	{"application/rtf", " rtf ", true},
	{"application/postscript", " ps eps ai ", true},
	{"image/svg+xml", " svg ", true},
	{"application/wasm", " wasm ", true},
	{"image/bmp", " bmp ", true},
	{"image/x-icon", " ico cur ", true},
	{"font/ttf", " ttf ", true},
	{"font/otf", " otf ", true},
	{"application/vnd.apple.mpegurl", " m3u8 ", true},
	{"audio/x-mpegurl", " m3u ", true},
	{"application/dash+xml", " mpd ", true},

	{"image/png", " png apng ", false},
	{"image/jpeg", " jpg jpeg jpe jfif ", false},
	{"image/gif", " gif ", false},
	{"image/webp", " webp ", false},
	{"image/avif", " avif ", false},
	{"image/heic", " heic heif ", false},
	{"image/jxl", " jxl ", false},
	{"image/tiff", " tif tiff ", false},
	{"font/woff", " woff ", false},
	{"font/woff2", " woff2 ", false},
	{"audio/mpeg", " mp3 ", false},
	{"audio/mp4", " m4a m4b ", false},
	{"audio/aac", " aac ", false},
	{"audio/ogg", " ogg oga opus ", false},
	{"audio/flac", " flac ", false},
	{"audio/wav", " wav ", false},
	{"audio/midi", " mid midi ", false},
	{"video/mp4", " mp4 m4v ", false},
	{"video/webm", " webm ", false},
	{"video/ogg", " ogv ", false},
	{"video/quicktime", " mov ", false},
	{"video/x-matroska", " mkv ", false},
	{"video/x-msvideo", " avi ", false},
	{"video/mpeg", " mpg mpeg ", false},
	{"video/mp2t", " m2ts ", false},
	{"application/pdf", " pdf ", false},
	{"application/zip", " zip ", false},
	{"application/gzip", " gz tgz ", false},
	{"application/x-bzip2", " bz2 tbz2 ", false},
	{"application/x-xz", " xz txz ", false},
	{"application/zstd", " zst tzst ", false},
	{"application/x-7z-compressed", " 7z ", false},
	{"application/vnd.rar", " rar ", false},
	{"application/x-tar", " tar ", false},
	{"application/java-archive", " jar war ", false},
	{"application/vnd.android.package-archive", " apk ", false},
	{"application/vnd.debian.binary-package", " deb ", false},
	{"application/x-rpm", " rpm ", false},
	{"application/epub+zip", " epub ", false},
	{"application/msword", " doc ", false},
	{"application/vnd.ms-excel", " xls ", false},
	{"application/vnd.ms-powerpoint", " ppt ", false},
	{"application/vnd.openxmlformats-officedocument.wordprocessingml.document", " docx ", false},
	{"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", " xlsx ", false},
	{"application/vnd.openxmlformats-officedocument.presentationml.presentation", " pptx ", false},
	{"application/vnd.oasis.opendocument.text", " odt ", false},
	{"application/vnd.oasis.opendocument.spreadsheet", " ods ", false},
	{"application/vnd.oasis.opendocument.presentation", " odp ", false},
	{"application/vnd.sqlite3", " sqlite sqlite3 ", false},
	{"application/vnd.tcpdump.pcap", " pcap cap ", false},
	{"application/x-iso9660-image", " iso ", false},
}

// textNames are files of text that have no extension.
const textNames = " readme license licence copying authors changelog changes news todo makefile dockerfile gemfile rakefile cmakelists install notice version "

// contentType returns the type of a file by its name, and whether it is one worth
// compressing. The system's own tables are not asked: every box answers the same.
func contentType(name string) (ctype string, text bool) {
	name = strings.ToLower(name[strings.LastIndexByte(name, '/')+1:])
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		if listed(textNames, name) {
			return plain, true
		}
		return octets, false
	}
	for _, t := range contentTypes {
		if listed(t.extensions, name[dot+1:]) {
			return t.contentType, t.text
		}
	}
	return octets, false
}

// listed says whether list, of words between blanks, holds word.
func listed(list, word string) bool {
	return word != "" && strings.IndexByte(word, ' ') < 0 && strings.Contains(list, " "+word+" ")
}
