package writepath

// Waiting returns how many groups wait for ingesters.
func (c *Cluster) Waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, l := range c.lanes {
		n += len(l.waiting)
	}
	return n
}

// WaitingBytes returns how many bytes wait for an ingester or are under way to it.
func (c *Cluster) WaitingBytes(address string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.lanes[address]; l != nil {
		return l.bytes
	}
	return 0
}
