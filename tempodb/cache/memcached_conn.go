package cache

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// server is one memcached server and connections to it.
type server struct {
	address string
	timeout time.Duration
	getting *breaker // apart from setting: a server that takes frames and does not give them costs time
	setting *breaker
	idle    chan *conn

	mu     sync.Mutex
	closed bool
}

// conn speaks memcached's text protocol. It's for one goroutine.
type conn struct {
	net.Conn
	r     *bufio.Reader
	w     *bufio.Writer
	line  []byte
	value []byte
}

const connBuffer = 16 << 10

// with calls talk with a connection, for no longer than the timeout and the context allow. After an error the connection is closed,
// since what else comes from it is not known.
func (s *server) with(ctx context.Context, talk func(*conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	for {
		c, used, err := s.take(ctx)
		if err != nil {
			return err
		}
		stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
		err = talk(c)
		if stop() && err == nil {
			s.put(c)
			return nil
		}
		_ = c.Close()
		if err == nil {
			return nil // in the nick of time
		}
		// A server that was restarted has closed the idle ones: that is no failure of the new one.
		if used && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)) && ctx.Err() == nil {
			continue
		}
		return err
	}
}

// take returns an idle connection, or a new one.
func (s *server) take(ctx context.Context) (c *conn, used bool, err error) {
	select {
	case c := <-s.idle:
		return c, true, nil
	default:
	}
	var d net.Dialer
	n, err := d.DialContext(ctx, "tcp", s.address)
	if err != nil {
		return nil, false, err
	}
	return &conn{Conn: n, r: bufio.NewReaderSize(n, connBuffer), w: bufio.NewWriterSize(n, connBuffer)}, false, nil
}

func (s *server) put(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		select {
		case s.idle <- c:
			return
		default:
		}
	}
	_ = c.Close()
}

func (s *server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for {
		select {
		case c := <-s.idle:
			_ = c.Close()
		default:
			return
		}
	}
}

// readValues reads the answer to a get. It asks room for where to put the value of a key, which is nil for a key that is not expected, and calls
// got when it is there. A value of another length than its room is passed over.
func readValues(r *bufio.Reader, room func(key []byte) []byte, got func(value []byte)) error {
	for {
		line, err := readLine(r)
		if err != nil {
			return err
		}
		if string(line) == "END" {
			return nil
		}
		rest, ok := bytes.CutPrefix(line, []byte("VALUE "))
		fields := bytes.Fields(rest)
		if !ok || len(fields) < 3 {
			return fmt.Errorf("answer to get: %q", line)
		}
		length, ok := parseLength(fields[2])
		if !ok {
			return fmt.Errorf("answer to get has a value of %q bytes", fields[2])
		}
		value := room(fields[0]) // line is not valid after it
		if len(value) == length && length > 0 {
			if _, err := io.ReadFull(r, value); err != nil {
				return err
			}
			got(value)
		} else if _, err := r.Discard(length); err != nil {
			return err
		}
		if end, err := readLine(r); err != nil {
			return err
		} else if len(end) != 0 {
			return fmt.Errorf("answer to get has a value that is followed by %q", end)
		}
	}
}

// readStored reads the answer to a set. A server may decline to store a value, as when it has no room of that size.
func readStored(r *bufio.Reader) (stored bool, err error) {
	line, err := readLine(r)
	if err != nil {
		return false, err
	}
	switch {
	case string(line) == "STORED":
		return true, nil
	case string(line) == "NOT_STORED", bytes.HasPrefix(line, []byte("SERVER_ERROR ")):
		return false, nil
	}
	return false, fmt.Errorf("answer to set: %q", line)
}

// readLine reads a line, which is valid until the next read and no longer than the reader's buffer.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	if len(line) < 2 || line[len(line)-2] != '\r' {
		return nil, fmt.Errorf("line does not end as it should: %q", line)
	}
	return line[:len(line)-2], nil
}

// parseLength reads a length that is no more than memcached could store.
func parseLength(b []byte) (int, bool) {
	if len(b) == 0 || len(b) > 9 {
		return 0, false
	}
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}
