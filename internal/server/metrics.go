package server

import (
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta/pebblekv"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/server/dualconn"
	"github.com/coffer-storage/coffer/internal/server/store"
	"github.com/coffer-storage/coffer/internal/wire"
	"github.com/coffer-storage/coffer/internal/wire/armhttp"
	"github.com/coffer-storage/coffer/internal/wire/identityhttp"
)

// metrics are the numbers of one server. Labels have few values: operations of the
// route table and statuses; never names of anybody's data.
type metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	latency   *prometheus.HistogramVec
	bytes     *prometheus.CounterVec
	aborted   prometheus.Counter
	damage    prometheus.Counter
	commits   prometheus.Histogram
	conflicts prometheus.Counter
	tornTails prometheus.Counter
	rekeyed   prometheus.Counter
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coffer_requests_total", Help: "Requests that were answered."}, []string{"service", "op", "status"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "coffer_request_seconds", Help: "Time from the head of a request to the end of its answer.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 4, 9)}, []string{"service", "op"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coffer_body_bytes_total", Help: "Bytes of bodies."}, []string{"service", "direction"}),
		aborted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "coffer_aborted_total", Help: "Answers that were cut off in the middle."}),
		damage: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "coffer_corrupt_total", Help: "Stored bytes that did not authenticate."}),
		commits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "coffer_commit_seconds", Help: "Time of a durable commit.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 8)}),
		conflicts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "coffer_commit_conflicts_total", Help: "Transactions that ran again."}),
		tornTails: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "coffer_torn_tails_total", Help: "Logs that ended in an unsynced, broken tail."}),
	}
	m.rekeyed = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "coffer_rekeyed_alarms_total", Help: "Times that many blobs were overwritten under a new customer-provided key."})
	m.registry.MustRegister(m.rekeyed)
	m.registry.MustRegister(m.requests, m.latency, m.bytes, m.aborted, m.damage, m.commits, m.conflicts, m.tornTails,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// observe counts one request of the blob service.
func (m *metrics) observe(o *wire.Observation) {
	const service = "blob"
	m.requests.WithLabelValues(service, o.Operation, strconv.Itoa(o.Status)).Inc()
	m.latency.WithLabelValues(service, o.Operation).Observe(o.Duration.Seconds())
	m.bytes.WithLabelValues(service, "in").Add(float64(o.BytesIn))
	m.bytes.WithLabelValues(service, "out").Add(float64(o.BytesOut))
	if o.Aborted {
		m.aborted.Inc()
	}
}

func (m *metrics) corrupt(log *slog.Logger) func(object.Damage) {
	return func(d object.Damage) {
		m.damage.Inc()
		log.Error("stored bytes do not authenticate", "table", d.Table.Name, "chunk", d.Chunk.String(), "err", d.Err)
	}
}

// alarm counts and logs what may be somebody who locks the owner out.
func (m *metrics) alarm(log *slog.Logger) func(blob.Alarm) {
	return func(a blob.Alarm) {
		m.rekeyed.Inc()
		log.Warn("many blobs were overwritten under a new customer-provided key",
			"account", string(a.Account), "count", a.Count, "within", a.Within)
	}
}

func (m *metrics) hooks() pebblekv.Hooks {
	return pebblekv.Hooks{
		Commit:   func(d time.Duration, _ int) { m.commits.Observe(d.Seconds()) },
		Conflict: m.conflicts.Inc,
		TornTail: func(string, int64) { m.tornTails.Inc() },
	}
}

// watch adds the numbers that the store itself keeps.
func (m *metrics) watch(s *store.Store) { m.registry.MustRegister(&storeCollector{s: s}) }

// storeCollector reads the store's counters when it is asked.
type storeCollector struct{ s *store.Store }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("coffer_"+name, help, labels, nil)
}

var (
	sealedDesc  = desc("sealed_bytes_total", "Plaintext bytes of content sealed.")
	openedDesc  = desc("opened_bytes_total", "Plaintext bytes of content authenticated and given out.")
	chunkDesc   = desc("extent_bytes_total", "Sealed bytes written to extents.", "why")
	dekDesc     = desc("data_key_lookups_total", "Data keys that were needed.", "cache")
	wrapDesc    = desc("wraps_total", "Wraps of data keys that were made.", "why")
	batchDesc   = desc("commit_batch_size", "Commits that shared a sync of the log.")
	commitDesc  = desc("commits_total", "Transactions that were committed.")
	syncDesc    = desc("log_syncs_total", "Syncs of the log.")
	diskDesc    = desc("metadata_disk_bytes", "Size of the LSM on disk.")
	memoryDesc  = desc("metadata_memory_bytes", "Memory of the LSM.", "part")
	fullDesc    = desc("disk_full", "1 while writes are refused because the disk is nearly full.")
	failedDesc  = desc("store_failed", "1 after the log was lost.")
	backlogDesc = desc("gc_backlog", "What waited for collection at the last round.", "what")

	collectedDesc   = desc("gc_collected_total", "What was freed.", "what")
	scrubbedDesc    = desc("scrubbed_bytes_total", "Stored bytes that were read again.")
	rotatedDesc     = desc("keys_rotated_total", "Keys that were rotated by schedule.")
	janitorFailDesc = desc("janitor_failures_total", "Rounds of background work that failed.")

	sequenceDesc = desc("commit_sequence", "Number of the last commit.")
	keygenDesc   = desc("keystore_generation", "Generation of the key store.")

	customerDesc = desc("customer_keys", "Keys of customers in force, of accounts and scopes, by state: suspended ones open nothing.", "state")
	expiryDesc   = desc("customer_key_expiry_seconds", "Unix time at which the first of customers' keys expires; absent when none does.")
)

// Describe sends nothing: the collector is unchecked, its metrics are described as they come.
func (c *storeCollector) Describe(chan<- *prometheus.Desc) {}

// Collect reads the counters.
func (c *storeCollector) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	o, e := c.s.Objects.Stats(), c.s.Meta.Stats()
	counter(sealedDesc, float64(o.SealedBytes))
	counter(openedDesc, float64(o.OpenedBytes))
	counter(chunkDesc, float64(o.ChunkBytes), "write")
	counter(chunkDesc, float64(o.MovedBytes), "compaction")
	counter(dekDesc, float64(o.DEKHits), "hit")
	counter(dekDesc, float64(o.DEKMisses), "miss")
	counter(wrapDesc, float64(o.Wraps), "new")
	counter(wrapDesc, float64(o.Rewraps), "sweep")
	ch <- prometheus.MustNewConstHistogram(batchDesc, e.Batches.Syncs, float64(e.Batches.Commits), e.Batches.UpTo)
	counter(commitDesc, float64(e.Commits))
	counter(syncDesc, float64(e.Syncs))
	gauge(diskDesc, float64(e.DiskBytes))
	gauge(memoryDesc, float64(e.MemTableBytes), "memtable")
	gauge(memoryDesc, float64(e.BlockCacheBytes), "block cache")
	gauge(fullDesc, truth(e.Full))
	gauge(failedDesc, truth(c.s.Meta.Latched() != nil))
	gauge(sequenceDesc, float64(c.s.Meta.Sequence()))
	generation, _ := c.s.Ring.Generation()
	gauge(keygenDesc, float64(generation))
	states := map[keys.CustomerState]int{keys.CustomerUnused: 0, keys.CustomerActive: 0, keys.CustomerDegraded: 0, keys.CustomerSuspended: 0}
	var first time.Time
	for _, p := range c.s.Ring.Protectors() {
		k, ok := c.s.Ring.CustomerKey(p.Protector)
		if !ok {
			continue
		}
		states[k.State]++
		if !k.Expires.IsZero() && (first.IsZero() || k.Expires.Before(first)) {
			first = k.Expires
		}
	}
	for state, n := range states {
		gauge(customerDesc, float64(n), state.String())
	}
	if !first.IsZero() {
		gauge(expiryDesc, float64(first.Unix()))
	}

	if c.s.Janitor == nil {
		return
	}
	j := c.s.Janitor.Stats()
	gauge(backlogDesc, float64(j.BacklogContents), "contents")
	gauge(backlogDesc, float64(j.BacklogExtents), "extents")
	counter(collectedDesc, float64(j.Collected.Chunks), "chunks")
	counter(collectedDesc, float64(j.Collected.Extents), "extents")
	counter(scrubbedDesc, float64(j.ScrubbedBytes))
	counter(rotatedDesc, float64(j.Rotated))
	counter(janitorFailDesc, float64(j.Failures))
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// managementHandler serves health, metrics and the management of encryption scopes. The
// first two show no names and no keys.
func (s *Server) managementHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if s.store.Meta.Latched() != nil {
			http.Error(w, "failed", http.StatusServiceUnavailable)
			return
		}
		w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !s.ready.Load() || s.store.Meta.Latched() != nil {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		w.Write([]byte("ok\n"))
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}))
	arm := s.armHandler()
	ids := identityhttp.New(identityhttp.Options{Identities: s.store.Identity, Logger: s.log, Now: s.now, AllowPlain: s.cfg.Dev || s.cfg.AllowHTTP,
		Secure: func(r *http.Request) bool { return r.TLS != nil || s.proxyEndedTLS(r) }})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		dualconn.Names(r) // settles r.TLS
		if identityhttp.Handles(r.URL.Path) {
			ids.ServeHTTP(w, r)
			return
		}
		if armhttp.Handles(r.URL.Path) { // its paths know no case, which the mux does
			arm.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}
