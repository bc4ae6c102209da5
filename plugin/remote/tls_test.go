package remote

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jaegertracing/jaeger/plugin/storage/grpc/shared"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key}
	of := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, of, of, &key.PublicKey, key)
	if err == nil {
		a.cert, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

// sign returns a certificate for 127.0.0.1 and its key, as PEM.
func (a *authority) sign(t *testing.T, name string, until time.Time) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: until.Add(-2 * time.Hour), NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, &k.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
}

// pair is sign as a client has it.
func (a *authority) pair(t *testing.T, name string, until time.Time) []tls.Certificate {
	t.Helper()
	c, err := tls.X509KeyPair(a.sign(t, name, until))
	if err != nil {
		t.Fatal(err)
	}
	return []tls.Certificate{c}
}

// trusts is the configuration of a client that trusts an authority.
func (a *authority) trusts(own []tls.Certificate) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{RootCAs: pool, Certificates: own}
}

func writeFiles(t *testing.T, files map[string][]byte) {
	t.Helper()
	for name, data := range files {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// tlsFiles makes files of a server's certificate; those of clients must be signed by clientCA, if there is one.
func tlsFiles(t *testing.T, ca, clientCA *authority) TLSFiles {
	t.Helper()
	dir := t.TempDir()
	f := TLSFiles{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	cert, key := ca.sign(t, "first", time.Now().Add(time.Hour))
	writeFiles(t, map[string][]byte{f.Cert: cert, f.Key: key})
	if clientCA != nil {
		f.ClientCA = filepath.Join(dir, "clients.pem")
		writeFiles(t, map[string][]byte{f.ClientCA: clientCA.pem})
	}
	return f
}

// asks makes one call on a connection of its own.
func asks(t *testing.T, address string, config *tls.Config) error {
	t.Helper()
	conn := dial(t, address, config)
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := shared.NewGRPCClient(conn).SpanReader().GetServices(ctx)
	return err
}

func TestOnlyClientsWithACertificateGetToAsk(t *testing.T) {
	ours, other := newAuthority(t, "ours"), newAuthority(t, "ours") // by its name
	later, before := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	encrypted := serve(t, openStore(t), Options{TLS: tlsFiles(t, ours, nil)})
	mutual := serve(t, openStore(t), Options{TLS: tlsFiles(t, ours, ours), ArchiveAddress: "127.0.0.1:0"})
	for name, c := range map[string]struct {
		address string
		config  *tls.Config
		ok      bool
	}{
		"TLS":                           {encrypted.Address(), ours.trusts(nil), true},
		"TLS, in the clear":             {encrypted.Address(), nil, false},
		"TLS of somebody else":          {encrypted.Address(), other.trusts(nil), false},
		"mTLS":                          {mutual.Address(), ours.trusts(ours.pair(t, "jaeger", later)), true},
		"mTLS, in the clear":            {mutual.Address(), nil, false},
		"mTLS without a certificate":    {mutual.Address(), ours.trusts(nil), false},
		"mTLS, signed by somebody else": {mutual.Address(), ours.trusts(other.pair(t, "jaeger", later)), false},
		"mTLS, expired":                 {mutual.Address(), ours.trusts(ours.pair(t, "jaeger", before)), false},
		"archive, mTLS":                 {mutual.ArchiveAddress(), ours.trusts(ours.pair(t, "jaeger", later)), true},
		"archive, mTLS, expired":        {mutual.ArchiveAddress(), ours.trusts(ours.pair(t, "jaeger", before)), false},
		"archive, in the clear":         {mutual.ArchiveAddress(), nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := asks(t, c.address, c.config); (err == nil) != c.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

// shown is the name in the certificate that a server shows.
func shown(t *testing.T, address string, config *tls.Config) string {
	t.Helper()
	config = config.Clone()
	config.NextProtos = []string{"h2"}
	conn, err := tls.Dial("tcp", address, config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
}

func TestCertificatesAreReadAgain(t *testing.T) {
	ours, next := newAuthority(t, "ours"), newAuthority(t, "next")
	files := tlsFiles(t, ours, ours)
	var log lines
	s := serve(t, openStore(t), Options{TLS: files, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	later := time.Now().Add(time.Hour)
	client := ours.trusts(ours.pair(t, "jaeger", later))
	old := dial(t, s.Address(), client)
	if _, err := shared.NewGRPCClient(old).SpanReader().GetServices(t.Context()); err != nil {
		t.Fatal(err)
	}
	cert, key := ours.sign(t, "second", later)

	writeFiles(t, map[string][]byte{files.Cert: cert}) // beside the old key
	for range 3 {
		if name := shown(t, s.Address(), client); name != "first" {
			t.Errorf("while certificate and key do not fit, it shows %q", name)
		}
	}
	if got := strings.Count(log.String(), "certificates stay as they were"); got != 1 {
		t.Errorf("told %d times:\n%s", got, log.String())
	}
	writeFiles(t, map[string][]byte{files.Key: key})
	if name := shown(t, s.Address(), client); name != "second" {
		t.Errorf("it shows %q", name)
	}

	writeFiles(t, map[string][]byte{files.ClientCA: next.pem})
	if err := asks(t, s.Address(), client); err == nil {
		t.Error("a client is let in whose authority no longer counts")
	}
	if err := asks(t, s.Address(), ours.trusts(next.pair(t, "jaeger", later))); err != nil {
		t.Errorf("a client of the new authority: %v", err)
	}
	if _, err := shared.NewGRPCClient(old).SpanReader().GetServices(t.Context()); err != nil {
		t.Errorf("a connection from before: %v", err)
	}
	if err := os.Remove(files.ClientCA); err != nil {
		t.Fatal(err)
	}
	if err := asks(t, s.Address(), client); err == nil {
		t.Error("without the file, everybody is let in")
	}
}

func TestCertificatesThatCannotBeUsedAreToldAtOnce(t *testing.T) {
	ca := newAuthority(t, "ca")
	files := tlsFiles(t, ca, ca)
	for want, wrong := range map[string]TLSFiles{
		"certificate /none and key":                            {Cert: "/none", Key: files.Key},
		"certificate " + files.Cert + " and key " + files.Cert: {Cert: files.Cert, Key: files.Cert},
		"certificates of clients: open /none":                  {Cert: files.Cert, Key: files.Key, ClientCA: "/none"},
		files.Key + " has no certificate in PEM":               {Cert: files.Cert, Key: files.Key, ClientCA: files.Key},
	} {
		s, err := Listen(Options{Address: "127.0.0.1:0", TLS: wrong})
		if err == nil {
			s.Stop()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestClientsThatAreNotLetInLeaveNothing(t *testing.T) {
	ours, other := newAuthority(t, "ours"), newAuthority(t, "ours")
	expired, foreign := ours.pair(t, "jaeger", time.Now().Add(-time.Hour)), other.pair(t, "jaeger", time.Now().Add(time.Hour))
	files := tlsFiles(t, ours, ours)
	abusedWith(t, Options{TLS: files}, openStore(t), ours.trusts(ours.pair(t, "jaeger", time.Now().Add(time.Hour))), "", func(s *Server) {
		each(func(i int) {
			config := ours.trusts([][]tls.Certificate{expired, foreign, nil}[i%3])
			config.NextProtos = []string{"h2"}
			conn, err := tls.Dial("tcp", s.Address(), config)
			if err != nil {
				return // under TLS 1.2 it is told at once
			}
			defer conn.Close()
			if _, err := conn.Read(make([]byte, 1)); err == nil {
				t.Error("it was answered")
			}
		})
	})
}
