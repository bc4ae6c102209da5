package index

// Memory is an index that grows row by row.
type Memory struct{}

// NewMemory returns an empty index.
func NewMemory() *Memory { panic("being written") }

// Own makes owner the owner of the rows that follow.
func (m *Memory) Own(owner uint32) {}

// Group begins a group of terms that the following rows share. See tempodb.Sink.
func (m *Memory) Group(identity []byte) (known bool) { return false }

// GroupTerm adds a term to the current group.
func (m *Memory) GroupTerm(field, value []byte) {}

// Row begins a row.
func (m *Memory) Row(start, duration int64) {}

// Term adds a term to the current row.
func (m *Memory) Term(field, value []byte) {}

// Rows returns the number of rows.
func (m *Memory) Rows() int { return 0 }

// Starts returns the range of the rows' start times.
func (m *Memory) Starts() Range { return Range{} }
