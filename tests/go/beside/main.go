// A program as Milvus is: a mixcoord on sessionutil, with a client of etcd, a C++ library and another Rust one. See
// tests/go/beside-milvus.
package main

/*
#cgo LDFLAGS: -L${SRCDIR} -lxxh -lstdc++
int core_works(int threads);
*/
import "C"

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"primacy.example/go/sessionutil"
)

func main() {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{os.Args[1]}, DialTimeout: 5 * time.Second})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()
	begin := func() *sessionutil.Session {
		loss := sessionutil.Exit(1, nil)
		s := sessionutil.NewSessionWithEtcd(ctx, os.Args[2], client, loss, sessionutil.WithVersion("3.0.0"), sessionutil.WithTTL(5))
		s.Init("mixcoord", "127.0.0.1:53100", true, true)
		s.SetEnableActiveStandBy(true)
		s.Register()
		return s
	}
	works := func() error {
		if count := C.core_works(8); count != 8 {
			return fmt.Errorf("%d of 8 threads of the C++ library did well", count)
		}
		return nil
	}
	one := begin()
	if err := one.ProcessActiveStandBy(works); err != nil {
		log.Fatal(err)
	}
	two := begin()
	active := make(chan error, 1)
	go func() { active <- two.ProcessActiveStandBy(works) }()
	one.Stop()
	if err := <-active; err != nil {
		log.Fatal(err)
	}
	two.Stop()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		log.Fatal(err)
	}
	if wanted := os.Getenv("LD_PRELOAD"); wanted != "" && !strings.Contains(string(maps), "jemalloc") {
		log.Fatal("jemalloc is not loaded")
	}
	fmt.Println("passed")
}
