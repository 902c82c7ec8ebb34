// Others are other ways to elect one of several, made to be driven as the sample coordinators are: the same flags, the
// same lines on stdout, `resign ROLE [ID]` on a port, and SIGTERM for a clean stop. One process may hold many
// candidates, each with a client, a lease and a number of its own.
//
//	others concurrency|client-go|milvus-2.6|milvus-3.0|floors --etcd EP --root PATH --role ROLE --address HOST:0
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// A place to campaign for, and how.
type place struct {
	endpoints  []string
	root, role string
	ttl        time.Duration
}

// A candidate says what becomes of it, and may be told to resign.
type candidate struct {
	place
	id     int64
	resign chan struct{}

	leading bool // under the lock of the lines
}

// A recipe campaigns for one candidate until it is told to stop, as often as that resigns.
type recipe func(stop context.Context, c *candidate) error

var recipes = map[string]recipe{
	"concurrency": concurrencyElection,
	"client-go":   leaderElection,
	"milvus-2.6":  milvusSession(milvusForm{version: "2.6.7"}),
	"milvus-3.0":  milvusSession(milvusForm{version: "3.0.0-beta", takesKeySet: true}),
}

var lines sync.Mutex

func say(what map[string]any) {
	what["t"] = now()
	text, _ := json.Marshal(what)
	os.Stdout.Write(append(text, '\n'))
}

// Standby, as far as it can tell; not once it leads.
func (c *candidate) warm() {
	lines.Lock()
	defer lines.Unlock()
	if !c.leading {
		say(map[string]any{"event": "warm", "role": c.role, "id": c.id})
	}
}

func (c *candidate) leads(leading bool) {
	lines.Lock()
	defer lines.Unlock()
	if c.leading == leading {
		return
	}
	c.leading = leading
	event := "lost"
	if leading {
		event = "primary"
	}
	say(map[string]any{"event": event, "role": c.role, "id": c.id})
}

// CLOCK_BOOTTIME in nanoseconds, as the sample coordinators have it.
func now() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t)
	return t.Nano()
}

func dial(endpoints []string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{
		Endpoints: endpoints, DialTimeout: 10 * time.Second, Logger: zap.NewNop(),
		DialKeepAliveTime: 3 * time.Second, DialKeepAliveTimeout: 2 * time.Second,
	})
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "others:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) == 0 {
		return fmt.Errorf("which one?")
	}
	flags := flag.NewFlagSet("others", flag.ContinueOnError)
	endpoints := flags.String("etcd", "", "endpoints, comma-separated")
	root := flags.String("root", "by-dev/meta", "what all keys are below")
	role := flags.String("role", "rootcoord", "what is campaigned for")
	address := flags.String("address", "127.0.0.1:0", "where requests are taken")
	ttl := flags.Int("ttl", 10, "of a lease, in seconds")
	count := flags.Int("count", 1, "candidates")
	first := flags.Int64("first", 1, "the number of the first of them")
	if err := flags.Parse(arguments[1:]); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		return err
	}
	at := place{strings.Split(*endpoints, ","), *root, *role, time.Duration(*ttl) * time.Second}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	say(map[string]any{"event": "listening", "address": listener.Addr().String()})

	if arguments[0] == "floors" {
		floors, err := newFloors(at)
		if err != nil {
			return err
		}
		go serve(listener, func([]string) any { return floors.measure(stop) })
		<-stop.Done()
		return nil
	}
	campaign, known := recipes[arguments[0]]
	if !known {
		return fmt.Errorf("there is no %q", arguments[0])
	}
	all := make([]*candidate, *count)
	for i := range all {
		all[i] = &candidate{place: at, id: *first + int64(i), resign: make(chan struct{}, 1)}
	}
	go serve(listener, func(words []string) any { return resign(all, words) })
	var running sync.WaitGroup
	for _, c := range all {
		running.Add(1)
		go func() {
			defer running.Done()
			if err := campaign(stop, c); err != nil && stop.Err() == nil {
				fmt.Fprintf(os.Stderr, "others: candidate %d: %v\n", c.id, err)
				os.Exit(1)
			}
		}()
		time.Sleep(5 * time.Millisecond) // hundreds that begin at once are no case of ours
	}
	running.Wait()
	say(map[string]any{"event": "stopped"})
	return nil
}

func serve(listener net.Listener, answer func(words []string) any) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer connection.Close()
			for in := bufio.NewScanner(connection); in.Scan(); {
				text, _ := json.Marshal(answer(strings.Fields(in.Text())))
				if _, err := connection.Write(append(text, '\n')); err != nil {
					return
				}
			}
		}()
	}
}

// resign ROLE [ID]
func resign(all []*candidate, words []string) any {
	if len(words) < 2 || words[0] != "resign" {
		return map[string]any{"ok": false, "why": "bad request"}
	}
	named := ""
	if len(words) > 2 {
		named = words[2]
	}
	for _, c := range all {
		if named == "" || strconv.FormatInt(c.id, 10) == named {
			select {
			case c.resign <- struct{}{}:
			default:
			}
			return map[string]any{"ok": true}
		}
	}
	return map[string]any{"ok": false, "why": "no such candidate"}
}
