/* cuda/devices.h - which GPUs this host has
 *
 * Built twice: cuda/devices.c with the toolkit, cuda/devices_none.c without, so
 * callers need no #ifdef. Creates no CUDA context on any device.
 */
#ifndef CUDA_DEVICES_H
#define CUDA_DEVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define CUDA_PCI_BYTES 20

struct cuda_device {
    int index;
    char name[128];
    char pci[CUDA_PCI_BYTES]; /* "0000:17:00.0" */
    int major, minor;         /* compute capability */
    uint64_t memory_bytes;
};

/* Was this program built with the CUDA toolkit? */
bool cuda_built(void);

/* Fill `out[cap]` and return how many devices there are (may exceed cap). 0 when
 * there is no driver or no GPU; -1: ERR_CUDA when the driver is there and fails.
 */
int cuda_devices(struct cuda_device *out, int cap, struct err *err);

/* Are the kernels of this build for this GPU? */
bool cuda_usable(const struct cuda_device *d);

#endif /* CUDA_DEVICES_H */
