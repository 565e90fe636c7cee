/* Entry points of the shim: every one catches what the parser throws (longjmp). */
#ifndef PGHERD_SHIM_H
#define PGHERD_SHIM_H

#include "nodes/pg_list.h"

typedef struct PgherdTree
{
	void	   *context;		/* owns the tree; NULL after an error */
	List	   *statements;		/* of RawStmt */
	char	   *message;		/* malloc'ed; NULL unless refused */
	int			position;		/* of the error in characters, from 1; 0 is unknown */
} PgherdTree;

typedef struct PgherdText
{
	char	   *text;			/* malloc'ed; the statement or the error's message */
	bool		failed;
} PgherdText;

extern PgherdTree pgherd_parse(const char *sql, int options);
extern void pgherd_free_tree(void *context);
extern PgherdText pgherd_deparse(void *statement);
extern void pgherd_free_text(char *text);

#endif
