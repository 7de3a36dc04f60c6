#include "cuda/devices.h"

#include <stdio.h>
#include <string.h>

#include "cuda/cu.h"

bool cuda_built(void)
{
    return true;
}

int cuda_devices(struct cuda_device *out, int cap, struct err *err)
{
    int count = 0;
    cudaError_t rc = cudaGetDeviceCount(&count);

    if (rc == cudaErrorNoDevice || rc == cudaErrorInsufficientDriver) {
        (void)cudaGetLastError(); /* told by the return value */
        return 0;
    }
    if (CU(rc, err) < 0)
        return -1;
    for (int i = 0; i < count && i < cap; i++) {
        struct cudaDeviceProp prop;

        if (CU(cudaGetDeviceProperties(&prop, i), err) < 0)
            return -1;
        out[i] = (struct cuda_device){
            .index = i,
            .major = prop.major,
            .minor = prop.minor,
            .memory_bytes = prop.totalGlobalMem,
        };
        if (CU(cudaDeviceGetPCIBusId(out[i].pci, sizeof out[i].pci, i), err)
            < 0)
            return -1;
        snprintf(out[i].name, sizeof out[i].name, "%.127s", prop.name);
    }
    return count;
}

bool cuda_usable(const struct cuda_device *d)
{
    return d->major == 9; /* sm_90a code runs on Hopper alone */
}
