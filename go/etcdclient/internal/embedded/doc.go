// Package embedded shows that the client of an etcd inside the process can be lent, as Milvus embeds one. It is a module of
// its own: etcd's server brings a hundred others along.
package embedded
