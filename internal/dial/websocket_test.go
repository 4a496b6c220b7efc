package dial

import (
	"encoding/base64"
	"reflect"
	"testing"

	"socketsrv/httpmini"
	"socketsrv/internal/cli"
)

func TestClientWS(t *testing.T) {
	var fs cli.Flags
	w := AddWebSocket(&fs)
	_, err := fs.Parse([]string{"-HHost: v.example", "-H", "X-Empty;", "-H", "Cookie:a=b", "-subprotocol", "a,b", "-u", "me:pw:x", "-origin", "http://o", "-xL"})
	want := httpmini.Header{
		{Name: "Host", Value: "v.example"}, {Name: "X-Empty"}, {Name: "Cookie", Value: "a=b"},
		{Name: "Authorization", Value: "Basic " + base64.StdEncoding.EncodeToString([]byte("me:pw:x"))},
	}
	if err != nil || !reflect.DeepEqual(w.Header, want) || !reflect.DeepEqual(w.Subprotocols, []string{"a", "b"}) ||
		w.Origin != "http://o" || !w.NoCompression || !w.Follow || w.Dialer == nil {
		t.Errorf("%+v, %v", w, err)
	}
}
