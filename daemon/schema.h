/* daemon/schema.h - daemon/schema_*.sql as strings, embedded by the build */
#ifndef DAEMON_SCHEMA_H
#define DAEMON_SCHEMA_H

extern const char schema_registry_sql[];
extern const char schema_job_sql[];

#endif /* DAEMON_SCHEMA_H */
