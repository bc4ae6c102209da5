package cluster

import "testing"

func TestConfigurationIsNestedBySection(t *testing.T) {
	got := yaml(map[string]string{"ring.store": "memberlist", "cut.age": "1s", "ring.heartbeat_timeout": "4s", "storage.path": `a "b"`})
	want := `cut:
  age: "1s"
ring:
  heartbeat_timeout: "4s"
  store: "memberlist"
storage:
  path: "a \"b\""
`
	if got != want {
		t.Errorf("%s\nwant:\n%s", got, want)
	}
}
