/* worker/orphans.h - shared memory that killed ranks left behind
 *
 * NCCL unlinks its files in /dev/shm once both sides have them mapped; a rank
 * killed before that leaves one, as large as a device's buffers.
 */
#ifndef WORKER_ORPHANS_H
#define WORKER_ORPHANS_H

#define ORPHANS_DIR "/dev/shm"

/* Unlink files dir/nccl-* of this user that no process has open or mapped.
 * Returns how many.
 */
int orphans_sweep(const char *dir);

#endif /* WORKER_ORPHANS_H */
