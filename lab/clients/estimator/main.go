// Command estimator speaks the estimator's gRPC with nothing but Go's standard library, by the published numbers of fields:
// the other end of ours that is not ours. `estimator client HOST:PORT` asks the estimator of cluster m1 everything it can be
// asked and prints each answer as `NAME NUMBER` or `NAME error CODE TEXT`; `estimator server` answers 7, 8 and 9 and prints
// each question as a line of JSON. CERT and KEY are files of its own pair, CA that of the authority of the other side.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	service = "/github.com.karmada_io.karmada.pkg.estimator.service.Estimator/"
	limit   = time.Minute
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(words []string) error {
	own, err := tls.LoadX509KeyPair(os.Getenv("CERT"), os.Getenv("KEY"))
	if err != nil {
		return err
	}
	text, err := os.ReadFile(os.Getenv("CA"))
	if err != nil {
		return err
	}
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(text) {
		return errors.New("CA holds no certificate")
	}
	switch {
	case len(words) == 2 && words[0] == "client":
		return ask(words[1], &tls.Config{Certificates: []tls.Certificate{own}, RootCAs: authorities, MinVersion: tls.VersionTLS13})
	case len(words) == 1 && words[0] == "server":
		return serve(&tls.Config{
			Certificates: []tls.Certificate{own},
			ClientCAs:    authorities,
			ClientAuth:   tls.RequireAndVerifyClientCert,
			MinVersion:   tls.VersionTLS13,
			NextProtos:   []string{"h2"},
		})
	}
	return errors.New("client HOST:PORT, or server")
}

// framed is a message as gRPC sends it: not compressed, its length, itself.
func framed(m []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(m))), m...)
}

func unframed(data []byte) ([]byte, error) {
	if len(data) < 5 || data[0] != 0 || binary.BigEndian.Uint32(data[1:5]) != uint32(len(data)-5) {
		return nil, fmt.Errorf("no frame: %x", data)
	}
	return data[5:], nil
}

// escaped is a text as gRPC's Go library sends it: printable ASCII as it is, but for percent signs.
func escaped(text string) string {
	var sent strings.Builder
	for _, b := range []byte(text) {
		if b < ' ' || b > '~' || b == '%' {
			fmt.Fprintf(&sent, "%%%02X", b)
		} else {
			sent.WriteByte(b)
		}
	}
	return sent.String()
}

type failure struct{ code, text string }

func (f *failure) Error() string { return f.code + " " + f.text }

func call(client *http.Client, address, method string, request message) (int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	sent, err := http.NewRequestWithContext(ctx, "POST", "https://"+address+service+method, bytes.NewReader(framed(request)))
	if err != nil {
		return 0, err
	}
	sent.Header.Set("content-type", "application/grpc")
	sent.Header.Set("te", "trailers")
	sent.Header.Set("object", "kind=Deployment, name=default/web")
	answer, err := client.Do(sent)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err
	}
	status := func(name string) string {
		if text := answer.Trailer.Get(name); text != "" {
			return text
		}
		return answer.Header.Get(name)
	}
	if code := status("grpc-status"); code != "0" {
		text, err := url.PathUnescape(status("grpc-message"))
		if err != nil {
			return 0, err
		}
		return 0, &failure{code, text}
	}
	data, err := unframed(body)
	if err != nil {
		return 0, err
	}
	fields, err := read(data)
	if err != nil {
		return 0, err
	}
	// What is zero may be left out.
	if len(fields) == 0 {
		return 0, nil
	}
	if len(fields) != 1 || fields[0].id != 1 || fields[0].bytes != nil {
		return 0, fmt.Errorf("not one number in field 1: %x", data)
	}
	return int64(int32(fields[0].number)), nil
}

func amount(text string) []byte { return message{}.text(1, text) }

func ask(address string, config *tls.Config) error {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}
	half := message{}.entry(5, "cpu", amount("500m")).entry(5, "memory", amount("64Mi"))
	claimed := func(claim message) message { return message{}.bytes(1, claim).entry(5, "cpu", amount("500m")) }
	onFirst := message{}.entry(2, "kubernetes.io/hostname", []byte("m1-node-1"))
	isIn := message{}.text(1, "kubernetes.io/hostname").text(2, "In").text(3, "m1-node-2").text(3, "m1-node-9")
	affine := message{}.bytes(4, message{}.bytes(1, message{}.bytes(1, isIn)))
	byName := message{}.text(1, "metadata.name").text(2, "In").text(3, "m1-node-1")
	affineByField := message{}.bytes(4, message{}.bytes(1, message{}.bytes(2, byName)))
	bearing := message{}.bytes(5, message{}.text(1, "dedicated").text(2, "Exists").text(4, "NoSchedule").number(5, 60))
	part := func(name, cpu string, replicas int64) message {
		return message{}.text(1, name).bytes(2, message{}.entry(4, "cpu", amount(cpu))).number(3, replicas)
	}
	taken := message{}.text(1, "default").bytes(2, part("gone", "1", 2))
	replicas := func(more message) message { return append(message{}.text(1, "m1"), more...) }
	deployment := func(kind string) message {
		return message{}.text(1, "apps/v1").text(2, kind).text(3, "default").text(4, "web")
	}
	for _, question := range []struct {
		name, method string
		request      message
	}{
		{"anything", "MaxAvailableReplicas", replicas(nil)},
		{"half", "MaxAvailableReplicas", replicas(message{}.bytes(2, half))},
		{"selected", "MaxAvailableReplicas", replicas(message{}.bytes(2, claimed(onFirst)))},
		{"affine", "MaxAvailableReplicas", replicas(message{}.bytes(2, claimed(affine)))},
		{"affine-by-field", "MaxAvailableReplicas", replicas(message{}.bytes(2, claimed(affineByField)))},
		{"tolerant", "MaxAvailableReplicas", replicas(message{}.bytes(2, claimed(bearing)))},
		{"after-assumed", "MaxAvailableReplicas", replicas(message{}.bytes(2, half).bytes(3, taken))},
		{"elsewhere", "MaxAvailableReplicas", message{}.text(1, "m2")},
		{"sets", "MaxAvailableComponentSets", replicas(message{}.bytes(2, part("a", "1", 1)).bytes(2, part("b", "500m", 2)).text(3, "default"))},
		{"no-components", "MaxAvailableComponentSets", replicas(nil)},
		{"unschedulable", "GetUnschedulableReplicas", replicas(message{}.bytes(2, deployment("Deployment")).number(3, int64(time.Millisecond)))},
		{"unschedulable-for-long", "GetUnschedulableReplicas", replicas(message{}.bytes(2, deployment("Deployment")).number(3, int64(time.Hour)))},
		{"unschedulable-job", "GetUnschedulableReplicas", replicas(message{}.bytes(2, deployment("Job")))},
		{"unknown", "NoSuchMethod", replicas(nil)},
	} {
		number, err := call(client, address, question.method, question.request)
		var refused *failure
		switch {
		case errors.As(err, &refused):
			fmt.Println(question.name, "error", refused)
		case err != nil:
			return fmt.Errorf("%s: %w", question.name, err)
		default:
			fmt.Println(question.name, number)
		}
	}
	return nil
}

func serve(config *tls.Config) error {
	answers := map[string]int64{"MaxAvailableReplicas": 7, "MaxAvailableComponentSets": 8, "GetUnschedulableReplicas": 9}
	handler := func(w http.ResponseWriter, r *http.Request) {
		method := strings.TrimPrefix(r.URL.Path, service)
		finish := func(code, text string) {
			w.Header().Set(http.TrailerPrefix+"Grpc-Status", code)
			w.Header().Set(http.TrailerPrefix+"Grpc-Message", escaped(text))
		}
		w.Header().Set("content-type", "application/grpc")
		question, err := questionOf(r, method)
		if err != nil {
			fmt.Printf("error %s: %v\n", r.URL.Path, err)
			finish("3", err.Error())
			return
		}
		line, _ := json.Marshal(map[string]any{
			"method": method, "object": r.Header.Get("object"), "http": r.Proto, "te": r.Header.Get("te"),
			"type": r.Header.Get("content-type"), "question": question,
		})
		fmt.Println(string(line))
		if question["cluster"] == "m9" {
			finish("2", "cluster name does not match, got: m9, desire: m1")
			return
		}
		_, _ = w.Write(framed(message{}.number(1, answers[method])))
		finish("0", "")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("listens on", listener.Addr())
	server := &http.Server{Handler: http.HandlerFunc(handler), TLSConfig: config, ReadHeaderTimeout: limit}
	return server.ServeTLS(listener, "", "")
}

func questionOf(r *http.Request, method string) (map[string]any, error) {
	of, known := requests[method]
	if !known {
		return nil, fmt.Errorf("no method %s", method)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	data, err := unframed(body)
	if err != nil {
		return nil, err
	}
	return shown(data, of)
}
