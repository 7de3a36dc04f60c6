/* worker/faults.h - is this device to blame for the group's deaths?
 *
 * Pure. A group that dies with several records on a device, or none, may have
 * been killed by the device or by a record; which, shows when those records run
 * alone: one that kills the group again is to blame, and the device is forgiven.
 * FAULTS_MAX unforgiven deaths within FAULTS_WINDOW_MS are too many.
 */
#ifndef WORKER_FAULTS_H
#define WORKER_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

#define FAULTS_MAX 3
#define FAULTS_WINDOW_MS ((int64_t)10 * 60 * 1000)

struct faults {
    int n;
    int64_t last_ms;
};

/* The group was lost through this device. Returns whether that is too often. */
bool faults_add(struct faults *f, int64_t now_ms);

/* The last one was a record's fault. */
void faults_forgive(struct faults *f);

#endif /* WORKER_FAULTS_H */
