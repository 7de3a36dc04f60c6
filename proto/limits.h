/* proto/limits.h - every bound of the protocol, with its arithmetic */
#ifndef PROTO_LIMITS_H
#define PROTO_LIMITS_H

/* A message body. CURVE adds 33 bytes to the frame (M11). */
#define FRAME_BYTES_MAX (1u << 20)

/* Data of one XferChunk: its frame stays below 256 KiB. */
#define CHUNK_BYTES_MAX (240u << 10)
/* In flight per transfer: 1.9 MiB. */
#define XFER_WINDOW_BYTES (8u * CHUNK_BYTES_MAX)
/* At a time in the coordinator: 64 x 1.9 = 120 MiB. */
#define XFERS_MAX 64

/* A shard is cut at the first of these. The second holds as soon as one of its
 * records generates. The third counts record text; a longer record is a shard
 * of its own.
 */
#define SHARD_RECORDS_MAX 1024
#define SHARD_RECORDS_GENERATE_MAX 512
#define SHARD_BYTES_MAX (1u << 20)
/* A packed lineset. */
#define BLOB_BYTES_MAX (256u << 20)

#define JOB_NAME_BYTES_MAX 128
#define MODEL_NAME_BYTES_MAX 256
/* Told in answer to a lenient submission. */
#define WARNINGS_MAX 10
#define MODELS_MAX 64  /* per worker */
#define DEVICES_MAX 64 /* per worker */
#define HELD_MAX 256   /* leases per worker: 64 ranks x 4 */
/* At most ~3 KiB each: less than FRAME_BYTES_MAX. */
#define JOBS_PER_REPLY_MAX 256
#define WORKERS_PER_REPLY_MAX 1024 /* as far as they fit a frame */

#define BEAT_MS 2000
#define LEASE_COORDINATOR_MS 10000 /* after receipt of a beat */
/* After sending the last acknowledged beat: the worker always stops first. */
#define LEASE_WORKER_MS 7000
#define LEASE_DISCONNECTED_MS 3000 /* after the peer is known to be gone */
#define RESTART_GRACE_MS 60000     /* leases found at coordinator start */
#define PROBE_MS 1000

#endif /* PROTO_LIMITS_H */
