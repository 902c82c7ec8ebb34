package etcdclient

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"primacy.example/go/store"
)

// What an error of the client means for the request that met it. Codes lie, so etcd's own texts come first, as they do in
// the library's own client; what is not known for sure may have been done.
var texts = []struct {
	text    string
	failure store.Failure
}{
	{"requested lease not found", store.LeaseNotFound},
	{"lease already exists", store.LeaseExists},
	// The client gets a new token by itself, for the next request.
	{"invalid auth token", store.Unreachable},
	{"revision of auth store is old", store.Unreachable},
	{"permission denied", store.Denied},
	{"user name is empty", store.Denied},
	{"authentication failed", store.Denied},
	{"user name not found", store.Denied},
	{"no leader", store.Unreachable},
	{"for learner", store.Unreachable},
	{"too many requests", store.Unreachable},
	{"database space exceeded", store.NoSpace},
	// Of an answer: it was done.
	{"grpc: received message larger than max", store.Indefinite},
	{"no address available", store.Unreachable},
	{"no connection available", store.Unreachable},
	{"no available endpoints", store.Unreachable},
	{"produced zero addresses", store.Unreachable},
	{"unknown service etcdserverpb", store.Unreachable},
}

func failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", err, meaning(err))
}

func meaning(err error) store.Failure {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return store.Indefinite
	}
	text := strings.ToLower(err.Error())
	if strings.Contains(text, "last connection error") || strings.Contains(text, "error while dialing") {
		// Never sent, for want of a connection.
		if strings.Contains(text, "x509:") || strings.Contains(text, "tls:") {
			return store.Denied
		}
		return store.Unreachable
	}
	for _, known := range texts {
		if strings.Contains(text, known.text) {
			return known.failure
		}
	}
	code := status.Code(err)
	var etcds rpctypes.EtcdError
	if errors.As(err, &etcds) {
		code = etcds.Code()
	}
	switch code {
	case codes.PermissionDenied, codes.Unauthenticated:
		return store.Denied
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition, codes.OutOfRange,
		codes.ResourceExhausted, codes.Unimplemented:
		return store.Refused
	default:
		return store.Indefinite
	}
}
