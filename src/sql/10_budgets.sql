-- Budgets and protection: ordinary transactional acts; every right is checked in C.

CREATE FUNCTION dp_create_budget(name text, epsilon float8, delta float8 DEFAULT 1e-9, period interval DEFAULT NULL,
                                 require_approval boolean DEFAULT false)
RETURNS void LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_create_budget(text, float8, float8, interval, boolean) IS
'makes a privacy budget: the most that may ever be learnt about one person in the tables that share it';

CREATE FUNCTION dp_alter_budget(name text, epsilon float8 DEFAULT NULL, delta float8 DEFAULT NULL,
                                period interval DEFAULT NULL, require_approval boolean DEFAULT NULL)
RETURNS void LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_alter_budget(text, float8, float8, interval, boolean) IS
'moves a budget''s cap or period, never below what is spent, or says whether its models need approval; every cap it ever had shows on the cards of its models';

CREATE FUNCTION dp_grant_budget(name text, grantee regrole, epsilon float8)
RETURNS void LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_grant_budget(text, regrole, float8) IS
'lets a role train on the tables of a budget, without SELECT on them, up to a share of its epsilon';

CREATE FUNCTION dp_protect(relation regclass, budget text DEFAULT NULL, unit name DEFAULT NULL,
                           max_rows_per_unit int DEFAULT 1, epsilon float8 DEFAULT NULL,
                           assert_stable boolean DEFAULT false)
RETURNS text LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_protect(regclass, text, name, int, float8, boolean) IS
'puts a table under a budget (an existing one, or with epsilon a new one) and returns the budget''s name; unit: the column that says whose a row is';

CREATE FUNCTION dp_declare_public(relation regclass, is_public boolean DEFAULT true)
RETURNS void LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_declare_public(regclass, boolean) IS
'declares that a table''s rows do not depend on protected ones: foreign keys to it are public domains';

CREATE FUNCTION dp_set_column(relation regclass, column_name name, kind text DEFAULT NULL, lower text DEFAULT NULL,
                              upper text DEFAULT NULL, categories text[] DEFAULT NULL, bins int DEFAULT NULL,
                              pattern text DEFAULT NULL, other text DEFAULT NULL, depends_on name[] DEFAULT NULL)
RETURNS void LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_set_column(regclass, name, text, text, text, text[], int, text, text, name[]) IS
'declares what is public about a column: its kind, range, categories; replaces what was declared before';

CREATE FUNCTION dp_describe(relation regclass,
                            OUT "column" text, OUT type text, OUT kind text, OUT domain text, OUT source text,
                            OUT codes bigint, OUT unused_checks text)
RETURNS SETOF record LANGUAGE C STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_describe(regclass) IS
'the public domain of each column and where it comes from; reads the schema and declarations only';
