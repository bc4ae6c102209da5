package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// TestComposeFile: what docker/compose.yaml names is there, and what it tells programs they accept. It is not run: that takes a container engine.
func TestComposeFile(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(root, "docker")
	var compose struct {
		Services map[string]struct {
			Build *struct {
				Context, Dockerfile, Target string
			}
			Command     []string
			Environment map[string]string
			Volumes     []string
			DependsOn   []string `yaml:"depends_on"`
		}
		Volumes map[string]any
	}
	text, err := os.ReadFile(filepath.Join(folder, "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &compose); err != nil {
		t.Fatal(err)
	}
	dockerfile, err := os.ReadFile(filepath.Join(folder, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	help := make(map[string]string)
	for _, name := range []string{"collector", "query"} {
		cmd := exec.Command(program("jaeger-v1.57/"+name), "--help")
		cmd.Env = append(os.Environ(), "SPAN_STORAGE_TYPE=grpc-plugin")
		out, _ := cmd.CombinedOutput() // it exits with what it likes
		help["jaeger-"+name] = string(out)
	}
	flag := regexp.MustCompile(`^--([a-z0-9.-]+)=(.*)$`)
	for name, s := range compose.Services {
		t.Run(name, func(t *testing.T) {
			mounted := make(map[string]string) // by path in the container
			for _, v := range s.Volumes {
				parts := strings.Split(v, ":")
				if !strings.HasPrefix(parts[0], ".") {
					if _, ok := compose.Volumes[parts[0]]; !ok {
						t.Errorf("volume %s is not declared", parts[0])
					}
					continue
				}
				mounted[parts[1]] = filepath.Join(folder, parts[0])
				if _, err := os.Stat(mounted[parts[1]]); err != nil {
					t.Error(err)
				}
			}
			for _, other := range s.DependsOn {
				if _, ok := compose.Services[other]; !ok {
					t.Errorf("it depends on %s, which is no service", other)
				}
			}
			if s.Build == nil {
				return
			}
			if _, err := os.Stat(filepath.Join(folder, s.Build.Context, s.Build.Dockerfile)); err != nil {
				t.Error(err)
			}
			if !strings.Contains(string(dockerfile), " AS "+s.Build.Target+"\n") {
				t.Errorf("the Dockerfile has no target %q", s.Build.Target)
			}
			var args []string // what the program is called with, to look at its configuration
			binary := "tempo"
			for _, arg := range s.Command {
				m := flag.FindStringSubmatch(arg)
				if m == nil {
					t.Fatalf("argument %q is not of the form --name=value", arg)
				}
				switch key, value := m[1], m[2]; {
				case s.Build.Target != "tempo" && !strings.Contains(help[s.Build.Target], "--"+key+" "):
					t.Errorf("%s has no flag --%s", s.Build.Target, key)
				case key == "grpc-storage-plugin.configuration-file":
					binary, args = "tempo-plugin", append(args, "--config="+mounted[value])
				case key == "config.file":
					args = append(args, "--config.file="+mounted[value])
				case key == "target":
					args = append(args, arg)
				}
			}
			cmd := exec.Command(program(binary), append(args, "--config.print")...)
			for k, v := range s.Environment {
				cmd.Env = append(cmd.Env, k+"="+v)
			}
			out, err := cmd.CombinedOutput()
			if err != nil || len(args) == 0 {
				t.Fatalf("%s %q: %v\n%s", binary, args, err, out)
			}
			for k, v := range s.Environment {
				if strings.HasPrefix(k, "TEMPO_") && !strings.Contains(string(out), v) {
					t.Errorf("%s=%s has no effect on the configuration", k, v)
				}
			}
		})
	}
}
