/* worker/rank_main.h - the rank process: one device between two rings */
#ifndef WORKER_RANK_MAIN_H
#define WORKER_RANK_MAIN_H

/* Run as the rank whose segment (segment.h) is at descriptor `fd`, until the
 * supervisor ends the process. Returns an exit status: something failed.
 */
int rank_main(int fd);

#endif /* WORKER_RANK_MAIN_H */
