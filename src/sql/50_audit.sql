-- The tamper-evident log.

CREATE FUNCTION dp_verify_audit(head text DEFAULT NULL)
RETURNS TABLE (entries bigint, ok boolean, first_bad bigint, head text)
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 1 AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_verify_audit(text) IS
'recomputes the chain of the audit log and its signatures; head, from an earlier call, proves that nothing before it was exchanged';
REVOKE EXECUTE ON FUNCTION dp_verify_audit(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dp_verify_audit(text) TO mirage_auditor, mirage_admin;
