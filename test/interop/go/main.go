// A caller in Go: generated stubs, grpc-go, nothing of this project's code.
//
// usage: client MEMORY_ADDRESS
// Stores a memory, finds it, and reads the code of an error. Prints one JSON object.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"time"

	memoryv1 "interop/gen/mahavishnu/memory/v1"
	typev1 "interop/gen/mahavishnu/type/v1"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	memory := memoryv1.NewMemoryServiceClient(conn)

	stored, err := memory.StoreMemory(ctx, &memoryv1.StoreMemoryRequest{Memory: &memoryv1.Memory{
		Content:    "The gopher caller keeps its notes in a windmill.",
		MemoryType: typev1.MemoryType_MEMORY_TYPE_AGENT,
		AgentId:    "gopher",
	}})
	if err != nil {
		log.Fatal(err)
	}
	answer, err := memory.UnifiedSearch(ctx, &memoryv1.UnifiedSearchRequest{
		Query:   "who keeps notes in a windmill?",
		AgentId: "gopher",
	})
	if err != nil {
		log.Fatal(err)
	}
	found := []string{}
	for _, result := range answer.Results {
		found = append(found, result.Id)
	}
	_, err = memory.GetMemory(ctx, &memoryv1.GetMemoryRequest{Id: "no-such-id"})
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{
		"id":      stored.Memory.Id,
		"found":   found,
		"missing": status.Code(err).String(),
	})
}
