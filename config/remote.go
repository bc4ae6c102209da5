package config

// Remote is the gRPC server that Jaeger knows as remote storage.
type Remote struct {
	// ListenAddress is host:port, or RemoteOff.
	ListenAddress string
	// ArchiveListenAddress serves the archive; empty is nowhere.
	ArchiveListenAddress string
	// TLSCert and TLSKey are files; empty is no TLS. TLSClientCA is a file; empty asks clients for no certificate.
	TLSCert, TLSKey, TLSClientCA string
	MaxMessageBytes              int64
	SpanKind                     SpanKind
	// StreamingWriter offers the writer that acknowledges nothing.
	StreamingWriter bool
}

// RemoteOff, as the address of Remote, starts no such server.
const RemoteOff = "off"

// SpanKind is what operations without a kind are called by.
type SpanKind string

// The names.
const (
	SpanKindEmpty       SpanKind = "empty"
	SpanKindUnspecified SpanKind = "unspecified"
)
