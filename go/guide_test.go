package primacy

import (
	"os"
	"strings"
	"testing"
)

// Every piece of Go in docs/go.md is part of an example that the tests run.
func TestTheGuideShowsCodeThatRuns(t *testing.T) {
	guide, err := os.ReadFile("../docs/go.md")
	if err != nil {
		t.Fatal(err)
	}
	var run string
	for _, file := range []string{"example_test.go", "etcdfence/example_test.go", "sessionutil/example_test.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		run += outdented(string(text))
	}
	pieces := strings.Split(string(guide), "```go\n")[1:]
	if len(pieces) < 5 {
		t.Errorf("the guide has %d pieces of code", len(pieces))
	}
	for _, piece := range pieces {
		piece, _, _ = strings.Cut(piece, "```")
		if !strings.Contains(run, strings.TrimRight(outdented(piece), " \n")) {
			t.Errorf("no example has this:\n%s", piece)
		}
	}
}

func outdented(text string) string {
	var lines strings.Builder
	for line := range strings.Lines(text) {
		lines.WriteString(strings.TrimLeft(line, "\t "))
	}
	return lines.String()
}
