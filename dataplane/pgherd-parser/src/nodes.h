/* What bindgen reads: the nodes of the raw parse tree, and the shim. */
#include "postgres.h"
#include "nodes/parsenodes.h"
#include "pg_query.h"
#include "shim.h"
