package trace

import "fmt"

// Kind is a span's kind, numbered as OTLP numbers it.
type Kind int32

// The kinds of OTLP.
const (
	KindUnspecified Kind = iota
	KindInternal
	KindServer
	KindClient
	KindProducer
	KindConsumer
)

// Kinds lists all kinds, for a query that asks for any of them.
var Kinds = [...]Kind{KindUnspecified, KindInternal, KindServer, KindClient, KindProducer, KindConsumer}

var kindNames = [...]string{"unspecified", "internal", "server", "client", "producer", "consumer"}

// String returns the kind's name in lower case: Jaeger's span.kind tag. A number that OTLP does not
// define is "unspecified", as Index takes it.
func (k Kind) String() string { return kindNames[k.known()] }

// known returns k, or KindUnspecified for a number that OTLP does not define.
func (k Kind) known() Kind {
	if k < 0 || int(k) >= len(kindNames) {
		return KindUnspecified
	}
	return k
}

// ParseKind reads what String returns.
func ParseKind(s string) (Kind, error) {
	for k, name := range kindNames {
		if s == name {
			return Kind(k), nil
		}
	}
	return KindUnspecified, fmt.Errorf("span kind %.40q is none of %q", s, kindNames)
}
