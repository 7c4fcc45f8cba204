package proof

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/server/store"
)

// load is one run of the mixed workload. Workers run side by side, each on things of its
// own, so that the ledger knows what every operation leaves.
type load struct {
	t      testing.TB
	st     *store.Store
	l      *ledger
	seed   uint64
	backup func(worker, i int) error // one whole backup, or nil

	did   [loadKinds]atomic.Int64
	moved atomic.Int64 // chunks moved by the compaction of extents
}

// Kinds of operations, with their weights.
const (
	loadPut = iota
	loadBlocks
	loadStage
	loadMetadata
	loadDelete
	loadContainer
	loadCollect
	loadRotate
	loadCompact
	loadBackup
	loadKinds
)

var loadWeights = [loadKinds]int{
	loadPut: 40, loadBlocks: 12, loadStage: 12, loadMetadata: 8, loadDelete: 12,
	loadContainer: 4, loadCollect: 5, loadRotate: 3, loadCompact: 2, loadBackup: 1,
}

var loadNames = [loadKinds]string{"put", "blocks", "stage", "metadata", "delete", "container", "collect", "rotate", "compact", "backup"}

func (w *load) String() string {
	var b strings.Builder
	for k := range loadKinds {
		fmt.Fprintf(&b, "%s %d, ", loadNames[k], w.did[k].Load())
	}
	return b.String() + fmt.Sprintf("chunks moved %d", w.moved.Load())
}

// run does rounds operations with the given number of workers.
func (w *load) run(workers, rounds int) error {
	var wg sync.WaitGroup
	errs := make([]error, workers)
	for id := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(w.seed, uint64(100+id)))
			n := rounds / workers
			for i := range n {
				if w.backup != nil && i == n/2 { // one is certain
					w.did[loadBackup].Add(1)
					errs[id] = w.backup(id, n)
				}
				if errs[id] == nil {
					errs[id] = w.step(rng, id, i)
				}
				if errs[id] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func pickKind(rng *rand.Rand) int {
	total := 0
	for _, n := range loadWeights {
		total += n
	}
	n := rng.IntN(total)
	for k, weight := range loadWeights {
		if n < weight {
			return k
		}
		n -= weight
	}
	panic("unreachable")
}

var loadSizes = []int{0, 10, 5_000, 32_768, 32_769, 60_000, 200_000, 400_000, 1_200_000}

func (w *load) step(rng *rand.Rand, id, i int) error {
	kind := pickKind(rng)
	thing := fmt.Sprintf("%s/w%d/blob-%d", box, id, rng.IntN(12))
	if rng.IntN(4) == 0 { // in the container that goes and comes again
		thing = fmt.Sprintf("bin%d/blob-%d", id, rng.IntN(6))
		if w.l.get(fmt.Sprintf("bin%d/", id)).data == nil {
			kind = loadContainer
		}
	}
	tag := fmt.Sprintf("%d-%d", id, i)
	w.did[kind].Add(1)
	switch kind {
	case loadPut:
		return w.put(thing, content(tag, loadSizes[rng.IntN(len(loadSizes))]), tag)
	case loadBlocks:
		return w.blocks(thing, content(tag, 150_000+rng.IntN(150_000)))
	case loadStage:
		return w.stage(thing, fmt.Sprintf("s-%05d", rng.IntN(4)), content(tag, 1+rng.IntN(60_000)))
	case loadMetadata:
		return w.metadata(thing, tag)
	case loadDelete:
		return w.remove(thing)
	case loadContainer:
		return w.container(fmt.Sprintf("bin%d", id))
	case loadCollect:
		return w.collect()
	case loadRotate:
		return w.rotate(rng.IntN(4))
	case loadCompact:
		return w.st.Meta.CompactAll(ctx)
	case loadBackup:
		if w.backup == nil {
			return nil
		}
		return w.backup(id, i)
	}
	return nil
}

func (w *load) put(thing string, data []byte, meta string) error {
	// A put does away with uncommitted blocks, too.
	return w.l.do(change{thing: {data, meta}, thing + stagedSuffix: {}}, func() error {
		_, err := w.st.Blobs.PutBlob(ctx, owner, refOf(thing), blob.PutOptions{
			Length: int64(len(data)), Body: bytes.NewReader(data),
			Metadata: blob.Metadata{{Name: "Round", Value: meta}},
		})
		return err
	})
}

func blockID(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// stage puts one uncommitted block.
func (w *load) stage(thing, id string, data []byte) error {
	key := thing + stagedSuffix
	blocks := map[string]string{}
	for _, word := range strings.Fields(w.l.get(key).meta) {
		k, _, _ := strings.Cut(word, ":")
		blocks[k] = word
	}
	blocks[blockID(id)] = fmt.Sprintf("%s:%d", blockID(id), len(data))
	return w.l.do(change{key: {[]byte{}, joinSorted(blocks)}}, func() error {
		_, err := w.st.Blobs.PutBlock(ctx, owner, refOf(thing), blob.BlockOptions{
			ID: blockID(id), Length: int64(len(data)), Body: bytes.NewReader(data),
		})
		return err
	})
}

// blocks stores a blob as some blocks and a list of them.
func (w *load) blocks(thing string, data []byte) error {
	var list []blob.BlockListEntry
	for i := 0; len(data) > i*70_000; i++ {
		id := fmt.Sprintf("b-%05d", i)
		if err := w.stage(thing, id, data[i*70_000:min(len(data), (i+1)*70_000)]); err != nil {
			return err
		}
		list = append(list, blob.BlockListEntry{ID: blockID(id), Where: blob.Uncommitted})
	}
	return w.l.do(change{thing: {data, ""}, thing + stagedSuffix: {}}, func() error {
		_, err := w.st.Blobs.PutBlockList(ctx, owner, refOf(thing), blob.ListOptions{Entries: list})
		return err
	})
}

func (w *load) metadata(thing, meta string) error {
	old := w.l.get(thing)
	if old.data == nil {
		return nil
	}
	return w.l.do(change{thing: {old.data, meta}}, func() error {
		_, err := w.st.Blobs.SetMetadata(ctx, owner, refOf(thing), blob.Metadata{{Name: "Round", Value: meta}}, blob.Conditions{}, blob.EncryptionOptions{})
		return err
	})
}

func (w *load) remove(thing string) error {
	if w.l.get(thing).data == nil {
		return nil
	}
	return w.l.do(change{thing: {}, thing + stagedSuffix: {}}, func() error {
		return w.st.Blobs.Delete(ctx, owner, refOf(thing), blob.DeleteOptions{})
	})
}

// container makes a container, or deletes it with all that is in it.
func (w *load) container(c string) error {
	if w.l.get(c+"/").data == nil {
		n, _ := split(c + "/")
		return w.l.do(change{c + "/": {data: []byte{}}}, func() error {
			_, err := w.st.Blobs.CreateContainer(ctx, owner, account, n, blob.ContainerOptions{})
			return err
		})
	}
	gone := change{}
	for _, thing := range w.l.under(c + "/") {
		gone[thing] = value{}
	}
	n, _ := split(c + "/")
	return w.l.do(gone, func() error {
		return w.st.Blobs.DeleteContainer(ctx, owner, account, n, blob.Conditions{})
	})
}

func (w *load) collect() error {
	c, err := w.st.Objects.Collect(ctx)
	w.moved.Add(int64(c.Moved))
	if err == nil {
		_, err = w.st.Blobs.Collect(ctx, 100)
	}
	return err
}

func (w *load) rotate(which int) error {
	switch which {
	case 0:
		_, err := w.st.Ring.Rotate(ctx, chain(w.t, w.st, keys.VFSK))
		return err
	case 1:
		return w.st.Ring.RotateRoot(ctx, keys.SRK)
	case 2:
		_, err := w.st.Ring.Rotate(ctx, chain(w.t, w.st, keys.SYSK))
		if err == nil {
			err = w.st.Objects.Mirror(ctx)
		}
		return err
	}
	v, err := w.st.Ring.Rotate(ctx, chain(w.t, w.st, keys.KEK))
	if err == nil {
		err = w.st.Objects.Mirror(ctx)
	}
	if err == nil {
		_, err = w.st.Objects.Sweep(ctx, v.Protector, object.SweepOptions{Rate: 1_000_000})
	}
	if fault.Is(err, fault.Busy) { // another worker sweeps
		return nil
	}
	return err
}

func joinSorted(m map[string]string) string {
	return strings.Join(slices.Sorted(maps.Values(m)), " ")
}
