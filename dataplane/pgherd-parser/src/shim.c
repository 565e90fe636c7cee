/*
 * Between Rust and libpg_query: errors of the parser are C's longjmp, which must not cross a frame
 * of Rust; and the tree must outlive the call that made it.
 */
#include "pg_query.h"
#include "pg_query_internal.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "postgres_deparse.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "shim.h"

PgherdTree
pgherd_parse(const char *sql, int options)
{
	PgherdTree	tree = {0};
	MemoryContext context = pg_query_enter_memory_context();
	PgQueryInternalParsetreeAndError result;

	/* Warnings (CREATE GLOBAL TEMP ...) would go to stderr, as often as a client likes. */
	log_min_messages = PANIC;
	result = pg_query_raw_parse(sql, options);
	free(result.stderr_buffer);
	if (result.error != NULL)
	{
		tree.message = strdup(result.error->message);
		tree.position = result.error->cursorpos;
		pg_query_free_error(result.error);
		pg_query_exit_memory_context(context);
		return tree;
	}
	tree.context = context;
	tree.statements = result.tree;
	/* As pg_query_exit_memory_context, but the context lives on. */
	MemoryContextSwitchTo(TopMemoryContext);
	restore_stack_base(NULL);
	return tree;
}

void
pgherd_free_tree(void *context)
{
	MemoryContextDelete((MemoryContext) context);
}

PgherdText
pgherd_deparse(void *statement)
{
	/* Set between sigsetjmp and longjmp: without volatile their values may be lost. */
	char	   *volatile text = NULL;
	volatile bool failed = false;
	PgherdText	result;
	MemoryContext context = pg_query_enter_memory_context();

	PG_TRY();
	{
		StringInfoData buffer;

		initStringInfo(&buffer);
		deparseRawStmt(&buffer, (struct RawStmt *) statement);
		text = strdup(buffer.data);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		text = strdup(error->message);
		failed = true;
		FlushErrorState();
	}
	PG_END_TRY();
	pg_query_exit_memory_context(context);
	result.text = text;
	result.failed = failed;
	return result;
}

void
pgherd_free_text(char *text)
{
	free(text);
}
