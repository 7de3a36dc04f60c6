/* cuda/nvml.h - how full and how busy a GPU is, as the driver says
 *
 * libnvidia-ml is looked for at run time; needs neither the CUDA toolkit nor a
 * CUDA context. Calls may hang when a GPU does: not for threads that others
 * wait for.
 */
#ifndef CUDA_NVML_H
#define CUDA_NVML_H

#include <stdint.h>

#include "common/err.h"

struct nvml_reading {
    uint64_t memory_used, memory_total; /* bytes */
    uint32_t utilisation; /* percent of the last sample period with a kernel */
};

/* Once per process. -1: ERR_NOT_FOUND (no library, or no driver behind it). */
int nvml_open(struct err *err);

/* The GPU at a PCI bus id ("00000000:17:00.0"), or NULL. */
void *nvml_device(const char *pci);

/* -1: the driver does not say. */
int nvml_read(void *device, struct nvml_reading *out);

#endif /* CUDA_NVML_H */
