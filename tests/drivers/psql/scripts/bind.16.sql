-- Parameters of the extended protocol.
SELECT $1::int + 1, $2 \bind 41 'a word' \g
SELECT $1 \bind
SELECT 1 / $1::int \bind 0 \g
SELECT 'after';
