//go:build cgo

package etcdfence

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// What a program weighs that has one primary of a role, stripped, by package primacy and by etcd's own package concurrency.
func BenchmarkBinarySize(b *testing.B) {
	for _, name := range []string{"primacy", "concurrency"} {
		b.Run(name, func(b *testing.B) {
			program := filepath.Join(b.TempDir(), name)
			for b.Loop() {
				build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", program, "./internal/size/"+name)
				if output, err := build.CombinedOutput(); err != nil {
					b.Fatalf("%v\n%s", err, output)
				}
			}
			built, err := os.Stat(program)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(built.Size()), "bytes")
		})
	}
}
