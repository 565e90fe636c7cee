-- Pipelines and named statements.
SELECT $1::int * 2 \parse twice
\bind_named twice 21 \g
\startpipeline
SELECT 1 \bind \sendpipeline
\bind_named twice 4 \sendpipeline
\flushrequest
\getresults
SELECT 1 / 0 \bind \sendpipeline
SELECT 'never' \bind \sendpipeline
\syncpipeline
SELECT 'again' \bind \sendpipeline
\endpipeline
\close_prepared twice
\bind_named twice 1 \g
SELECT 'after';
