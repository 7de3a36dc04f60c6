/* proto/limits.h - every bound of the protocol, with its arithmetic */
#ifndef PROTO_LIMITS_H
#define PROTO_LIMITS_H

#define FRAME_BYTES_MAX (1u << 20) /* a message body; CURVE adds 33 (M11) */
#define CHUNK_BYTES_MAX (240u << 10) /* data of one XferChunk: its frame stays
                                      * below 256 KiB */
#define XFER_WINDOW_BYTES (8u * CHUNK_BYTES_MAX) /* in flight per transfer:
                                                  * 1.9 MiB */
#define XFERS_MAX 64 /* at a time in the coordinator: 64 x 1.9 = 120 MiB */

#define SHARD_RECORDS_MAX 1024         /* scoring */
#define SHARD_RECORDS_GENERATE_MAX 512 /* as soon as one record generates */
#define SHARD_BYTES_MAX (1u << 20)     /* of record text; one longer record is a
                                        * shard of its own */
#define BLOB_BYTES_MAX (256u << 20)    /* a packed lineset */

#define JOB_NAME_BYTES_MAX 128
#define MODEL_NAME_BYTES_MAX 256
#define MODELS_MAX 64  /* per worker */
#define DEVICES_MAX 64 /* per worker */
#define HELD_MAX 256   /* leases per worker: 64 ranks x 4 */
#define JOBS_PER_REPLY_MAX 256 /* x at most ~3 KiB each < FRAME_BYTES_MAX */
#define WORKERS_PER_REPLY_MAX 1024 /* as far as they fit a frame */

#define BEAT_MS 2000
#define LEASE_COORDINATOR_MS 10000 /* after receipt of a beat */
#define LEASE_WORKER_MS 7000 /* after sending the last acknowledged beat: the
                              * worker always stops first */
#define LEASE_DISCONNECTED_MS 3000 /* after the peer is known to be gone */
#define RESTART_GRACE_MS 60000     /* leases found at coordinator start */
#define PROBE_MS 1000

#endif /* PROTO_LIMITS_H */
