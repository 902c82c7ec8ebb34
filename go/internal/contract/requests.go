//go:build linux

package contract

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"primacy.example/go"
)

const requestTimeout = 5 * time.Second

// A Coordinator as others ask it.
type Coordinator struct {
	Lines
	Root    string
	Roles   []*Role
	Session atomic.Pointer[primacy.Session] // nil until it is open
}

// A Role that this process is a candidate for.
type Role struct {
	Name     string
	Election atomic.Pointer[primacy.Election] // nil until the session is open
	// Of the last win; kept when it is lost: etcd knows better than we do whether it still counts.
	Token atomic.Int64
}

// Serve answers whoever connects, until the listener is closed.
func (c *Coordinator) Serve(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return // closed
		}
		go c.converse(connection)
	}
}

// One connection, one goroutine: an append that waits for etcd holds up nobody else's `who`.
func (c *Coordinator) converse(connection net.Conn) {
	defer connection.Close()
	in := bufio.NewReader(connection)
	for {
		text, err := in.ReadString('\n')
		if err != nil {
			return
		}
		answer, _ := json.Marshal(c.answer(strings.TrimRight(text, "\r\n")))
		if _, err := connection.Write(append(answer, '\n')); err != nil {
			return
		}
	}
}

type refusal struct {
	OK  bool   `json:"ok"`
	Why string `json:"why"`
}

func refuse(why string) any { return refusal{Why: why} }

func (c *Coordinator) answer(text string) any {
	words := strings.SplitN(text, " ", 3)
	switch {
	case words[0] == "status" && len(words) == 1:
		return c.status()
	case len(words) < 2, words[0] == "append" && len(words) < 3:
		return refuse("bad request")
	}
	var act func(r *Role) any
	switch words[0] {
	case "who":
		act = c.who
	case "append":
		act = func(r *Role) any { return c.append(r, words[2]) }
	case "resign":
		act = resign
	case "transfer":
		act = func(r *Role) any { return transfer(r, words[2:]) }
	default:
		return refuse("bad request")
	}
	for _, r := range c.Roles {
		if r.Name == words[1] {
			return act(r)
		}
	}
	return refuse("unknown role")
}

func (c *Coordinator) who(r *Role) any {
	t := now()
	token := r.Election.Load().Token() // of no election: 0
	return struct {
		Role    string        `json:"role"`
		ID      int64         `json:"id"`
		Primary bool          `json:"primary"`
		Token   primacy.Token `json:"token"`
		T       int64         `json:"t"`
	}{r.Name, c.ID.Load(), token != 0, token, t}
}

func (c *Coordinator) status() any {
	status, err := c.Session.Load().Status()
	if err != nil {
		return refuse(err.Error())
	}
	return status.Raw
}

func resign(r *Role) any {
	// Asked for, not done: so it does not wait for the handlers.
	go r.Election.Load().Resign(context.Background())
	return struct {
		OK bool `json:"ok"`
	}{true}
}

// transfer hands over to the candidate with an id, or to the best one.
func transfer(r *Role, named []string) any {
	var to int64
	if len(named) > 0 {
		id, err := strconv.ParseInt(named[0], 10, 64)
		if err != nil {
			return refuse("bad request")
		}
		to = id
	}
	if err := r.Election.Load().Transfer(context.Background(), to); err != nil {
		return refuse(err.Error())
	}
	return struct {
		OK bool `json:"ok"`
	}{true}
}

func (c *Coordinator) append(r *Role, text string) any {
	token := primacy.Token(r.Token.Load())
	if token == 0 {
		return refuse("not_primary") // never was
	}
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	folder := c.Root + "/sample/" + r.Name
	read, err := c.Session.Load().Read(ctx, new(primacy.Txn).Get(folder+"/length"))
	if err != nil {
		return refuse("can not read: " + err.Error()) // nothing was written
	}
	length, _ := read.First(0)
	before, _ := strconv.ParseInt(string(length.Value), 10, 64) // 0 if it is absent
	n := before + 1

	// The library adds the guard: the lock is still held by the win of this token.
	_, err = r.Election.Load().Commit(ctx, token, new(primacy.Txn).
		IfModRevision(folder+"/length", length.ModRevision).
		Put(fmt.Sprintf("%s/log/%010d", folder, n), fmt.Appendf(nil, "%d %d %s", token, c.ID.Load(), text)).
		Put(folder+"/length", strconv.AppendInt(nil, n, 10)))
	switch {
	case err == nil:
		return struct {
			OK    bool          `json:"ok"`
			N     int64         `json:"n"`
			Token primacy.Token `json:"token"`
		}{true, n, token}
	case errors.Is(err, primacy.ErrNotPrimary):
		return refuse("not_primary")
	case errors.Is(err, primacy.ErrIndefinite):
		return refuse("unknown")
	case errors.Is(err, primacy.ErrConflict):
		return refuse("conflict") // another append of ours was faster
	default:
		return refuse(err.Error())
	}
}
