/* NVML's header comes with no Debian package, and its binary interface is
 * stable: the few declarations are here.
 */
#include "cuda/nvml.h"

#include <dlfcn.h>
#include <stddef.h>

typedef int nvml_status; /* 0: success */

struct nvml_memory {
    unsigned long long total, free, used;
};

struct nvml_utilization {
    unsigned int gpu, memory; /* percent */
};

static struct {
    nvml_status (*init)(void);
    nvml_status (*by_pci)(const char *pci, void **device);
    nvml_status (*memory)(void *device, struct nvml_memory *out);
    nvml_status (*utilization)(void *device, struct nvml_utilization *out);
} nvml;

int nvml_open(struct err *err)
{
    void *lib = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    nvml_status rc;

    if (lib == NULL) {
        err_set(err, ERR_NOT_FOUND, "NVML: %s", dlerror());
        (void)dlerror(); /* frees the text; the thread may not live to */
        return -1;
    }
    *(void **)&nvml.init = dlsym(lib, "nvmlInit_v2");
    *(void **)&nvml.by_pci = dlsym(lib, "nvmlDeviceGetHandleByPciBusId_v2");
    *(void **)&nvml.memory = dlsym(lib, "nvmlDeviceGetMemoryInfo");
    *(void **)&nvml.utilization = dlsym(lib, "nvmlDeviceGetUtilizationRates");
    if (nvml.init == NULL || nvml.by_pci == NULL || nvml.memory == NULL
        || nvml.utilization == NULL)
        return err_set(err, ERR_NOT_FOUND,
                       "NVML: libnvidia-ml.so.1 lacks a function of version 2");
    rc = nvml.init();
    if (rc != 0)
        return err_set(err, ERR_NOT_FOUND, "NVML: nvmlInit_v2 says %d", rc);
    return 0;
}

void *nvml_device(const char *pci)
{
    void *device = NULL;

    return nvml.by_pci(pci, &device) == 0 ? device : NULL;
}

int nvml_read(void *device, struct nvml_reading *out)
{
    struct nvml_memory memory = {0};
    struct nvml_utilization use = {0};

    if (nvml.memory(device, &memory) != 0)
        return -1;
    (void)nvml.utilization(device, &use); /* not on parts of a GPU (MIG) */
    *out = (struct nvml_reading){
        .memory_used = memory.used,
        .memory_total = memory.total,
        .utilisation = use.gpu <= 100 ? use.gpu : 100,
    };
    return 0;
}
