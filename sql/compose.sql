-- dp_compose: the accountants as a calculator.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION pg_mirage;
SET extra_float_digits = 0;
-- figures to four digits, as a report would show them
CREATE FUNCTION cost(events jsonb, delta float8) RETURNS TABLE (accountant text, epsilon numeric) LANGUAGE sql AS
$$ SELECT c.accountant, round(c.epsilon::numeric, 4) FROM dp_compose(events, delta) c $$;

SELECT * FROM cost('[{"mechanism": "gaussian", "sigma": 5, "count": 10}, {"mechanism": "laplace", "scale": 10, "count": 5}]', 1e-5);
SELECT * FROM cost('[{"mechanism": "gaussian", "sigma": 1}]', 1e-9);
SELECT * FROM cost('[{"mechanism": "poisson_gaussian", "q": 0.01, "sigma": 1.1, "count": 1000}]', 1e-5);
SELECT * FROM cost('[{"mechanism": "zcdp", "rho": 0.1}]', 1e-9);
SELECT * FROM cost('[{"mechanism": "discrete_gaussian", "sigma": 10, "count": 20}, {"mechanism": "exponential", "epsilon": 0.1, "count": 8},
  {"mechanism": "discrete_laplace", "scale": 20}, {"mechanism": "gnmax", "sigma": 40, "count": 100}]', 1e-6);
-- pure mechanisms have an epsilon without any delta, others have none
SELECT * FROM cost('[{"mechanism": "discrete_laplace", "scale": 4, "count": 2}, {"mechanism": "exponential", "epsilon": 0.25}]', 0);
SELECT * FROM dp_compose('[{"mechanism": "gaussian", "sigma": 1}]', 0);
-- nothing costs nothing
SELECT * FROM dp_compose('[]', 1e-9);
SELECT * FROM dp_compose('[{"mechanism": "gaussian", "sigma": 1, "count": 0}, {"mechanism": "zcdp", "rho": 0},
  {"mechanism": "poisson_gaussian", "q": 0, "sigma": 1}]', 1e-9);
-- an atom takes its part of delta, and the whole of it leaves nothing
SELECT a.epsilon > b.epsilon AS dearer FROM cost('[{"mechanism": "gaussian", "sigma": 3, "delta": 5e-6}]', 1e-5) a
JOIN cost('[{"mechanism": "gaussian", "sigma": 3}]', 1e-5) b USING (accountant);
SELECT * FROM dp_compose('[{"mechanism": "gaussian", "sigma": 3, "delta": 1e-6, "count": 10}]', 1e-5);
-- sampling everybody is no sampling, and equal events may be written apart
SELECT count(DISTINCT round(epsilon::numeric, 6)) FROM
  (SELECT * FROM dp_compose('[{"mechanism": "poisson_gaussian", "q": 1, "sigma": 8, "count": 20}]', 1e-9)
   UNION ALL SELECT * FROM dp_compose('[{"mechanism": "gaussian", "sigma": 8, "count": 15}, {"mechanism": "gaussian", "sigma": 8, "count": 5}]', 1e-9)) x
WHERE accountant = 'pld';
-- more steps, less noise, a smaller delta: never cheaper, and the loss distribution never dearer than Renyi
SELECT bool_and(pld <= rdp) AS tighter, bool_and(pld >= coalesce(before, 0)) AS monotone FROM
  (SELECT rdp, pld, lag(pld) OVER (ORDER BY n) AS before FROM generate_series(0, 6) n,
     LATERAL (SELECT max(epsilon) FILTER (WHERE accountant = 'rdp') AS rdp, max(epsilon) FILTER (WHERE accountant = 'pld') AS pld
              FROM dp_compose(jsonb_build_array(jsonb_build_object('mechanism', 'poisson_gaussian', 'q', 0.02, 'sigma', 1.3, 'count', 10 ^ n)), 1e-7)) c) t;

-- what cannot be understood is refused, by the event's place
\set VERBOSITY default
SELECT * FROM dp_compose(NULL, 1e-9);
SELECT * FROM dp_compose('[]', NULL);
SELECT * FROM dp_compose('[]', 1);
SELECT * FROM dp_compose('[]', -1e-9);
SELECT * FROM dp_compose('[]', 'NaN');
SELECT * FROM dp_compose('{"mechanism": "gaussian", "sigma": 1}', 1e-9);
SELECT * FROM dp_compose('5', 1e-9);
SELECT * FROM dp_compose('[5]', 1e-9);
SELECT * FROM dp_compose('[[]]', 1e-9);
SELECT * FROM dp_compose('[{"sigma": 1}]', 1e-9);
SELECT * FROM dp_compose('[{"mechanism": 5, "sigma": 1}]', 1e-9);
SELECT * FROM dp_compose('[{"mechanism": "zcdp", "rho": 1}, {"mechanism": "gausian", "sigma": 1}]', 1e-9);
SELECT * FROM dp_compose('[{"mechanism": "gaussian", "scale": 1}]', 1e-9);
SELECT * FROM dp_compose('[{"mechanism": "gaussian", "sigma": 1, "q": 0.1}]', 1e-9);
SELECT * FROM dp_compose('[{"mechanism": "gaussian"}]', 1e-9);
SELECT * FROM dp_compose('[{"mechanism": "poisson_gaussian", "sigma": 1}]', 1e-9);
SELECT * FROM dp_compose('[{"mechanism": "poisson_gaussian", "sigma": 1, "q": 1.5}]', 1e-9);
SELECT * FROM dp_compose('[{"mechanism": "gaussian", "sigma": 0}]', 1e-9);
SELECT * FROM dp_compose('[{"mechanism": "exponential", "epsilon": -1}]', 1e-9);
SELECT * FROM dp_compose('[{"mechanism": "gaussian", "sigma": "1"}]', 1e-9);
SELECT * FROM dp_compose('[{"mechanism": "gaussian", "sigma": null}]', 1e-9);
SELECT * FROM dp_compose('[{"mechanism": "gaussian", "sigma": {"a": [1]}}]', 1e-9);
SELECT * FROM dp_compose('[{"mechanism": "gaussian", "sigma": 1e400}]', 1e-9);
SELECT * FROM dp_compose('[{"mechanism": "gaussian", "sigma": 1, "count": 1.5}]', 1e-9);
SELECT * FROM dp_compose('[{"mechanism": "gaussian", "sigma": 1, "count": -1}]', 1e-9);
SELECT * FROM dp_compose('[{"mechanism": "gaussian", "sigma": 1, "count": 1e13}]', 1e-9);
SELECT * FROM dp_compose('[{"mechanism": "gaussian", "sigma": 1, "delta": 2}]', 1e-9);
SELECT * FROM dp_compose((SELECT jsonb_agg('{"mechanism": "zcdp", "rho": 1e-3}'::jsonb) FROM generate_series(1, 257)), 1e-9);

-- anybody may ask, and a long composition can be cancelled
CREATE ROLE regress_compose_nobody;
SET ROLE regress_compose_nobody;
SELECT accountant FROM dp_compose('[{"mechanism": "gaussian", "sigma": 1}]', 1e-9);
SET statement_timeout = '100ms';
SELECT * FROM dp_compose((SELECT jsonb_agg(jsonb_build_object('mechanism', 'poisson_gaussian', 'q', 0.001 * i, 'sigma', 1 + 0.01 * i, 'count', 900000))
                          FROM generate_series(1, 200) i), 1e-9);
RESET statement_timeout;
RESET ROLE;
DROP ROLE regress_compose_nobody;
DROP FUNCTION cost(jsonb, float8);
SELECT provolatile, proparallel FROM pg_proc WHERE proname = 'dp_compose';
DROP EXTENSION pg_mirage;
