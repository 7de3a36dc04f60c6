#include "cuda/devices.h"

bool cuda_built(void)
{
    return false;
}

int cuda_devices(struct cuda_device *out, int cap, struct err *err)
{
    (void)out;
    (void)cap;
    (void)err;
    return 0;
}

bool cuda_usable(const struct cuda_device *d)
{
    (void)d;
    return false;
}
