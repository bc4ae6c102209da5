package remote

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// TLSFiles names files of PEM. The zero value is no TLS.
type TLSFiles struct {
	// Cert is the server's certificate, and what it was signed with; Key is its key.
	Cert, Key string
	// ClientCA has certificates by one of which that of a client must be signed; empty asks for none.
	ClientCA string
}

// certificates are what the files hold. They are read again when a file has changed, when the next connection is made: nothing watches them, and
// what is wrong for a moment, a new certificate beside the old key, leaves all as it was until it is right.
type certificates struct {
	files TLSFiles
	log   *slog.Logger

	mu    sync.Mutex
	now   *tls.Config
	seen  [3]fileStamp // of what now was made of
	wrong [3]fileStamp // of what could not be used, and was told
}

func loadCertificates(files TLSFiles, log *slog.Logger) (*certificates, error) {
	c := &certificates{files: files, log: log, seen: files.stamps()}
	var err error
	if c.now, err = files.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// config returns what a server needs.
func (c *certificates) config() *tls.Config {
	return &tls.Config{GetConfigForClient: c.forClient, MinVersion: tls.VersionTLS12}
}

// forClient is tls.Config.GetConfigForClient.
func (c *certificates) forClient(*tls.ClientHelloInfo) (*tls.Config, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.files.stamps() // before they are read: a change meanwhile is seen by the next
	if now == c.seen {
		return c.now, nil
	}
	config, err := c.files.load()
	switch {
	case err == nil:
		c.now, c.seen = config, now
		c.log.Info("certificates were read again", "cert", c.files.Cert)
	case now != c.wrong:
		c.wrong = now
		c.log.Error("certificates stay as they were: the files can't be used", "error", err)
	}
	return c.now, nil
}

// load reads the files. A session is never taken up again by a ticket: what a client may do is decided by the certificates of now.
func (f TLSFiles) load() (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s and key %s: %w", f.Cert, f.Key, err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true}
	if f.ClientCA == "" {
		return config, nil
	}
	pem, err := os.ReadFile(f.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("certificates of clients: %w", err)
	}
	config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New("certificates of clients: " + f.ClientCA + " has no certificate in PEM")
	}
	return config, nil
}

// fileStamp is what changes when a file does; that of a file that is not there is zero.
type fileStamp struct {
	size     int64
	modified time.Time
}

func (f TLSFiles) stamps() (all [3]fileStamp) {
	for i, name := range []string{f.Cert, f.Key, f.ClientCA} {
		if info, err := os.Stat(name); err == nil {
			all[i] = fileStamp{info.Size(), info.ModTime()}
		}
	}
	return all
}
