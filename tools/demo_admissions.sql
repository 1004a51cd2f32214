-- demo_admissions.sql: a made-up table of 60,000 hospital admissions, for the demonstration. No row of it is about
-- anybody. What makes it worth learning: the ward follows age, sex and emergency; the diagnosis follows the ward;
-- stay, charge and the laboratory value follow diagnosis and age; insurer follows age; skewed labels, heavy tails and
-- NULLs that mean something.
CREATE TYPE sex AS ENUM ('female', 'male', 'other');
CREATE TYPE ward AS ENUM ('cardiology', 'obstetrics', 'oncology', 'orthopaedics', 'paediatrics', 'surgery');

CREATE TABLE admissions (
  age        integer NOT NULL CHECK (age BETWEEN 0 AND 110),
  sex        sex NOT NULL,
  region     text NOT NULL CHECK (region IN ('north', 'north-east', 'south', 'south-west', 'coast', 'capital')),
  insurer    text,                                  -- open: learnt
  ward       ward NOT NULL,
  diagnosis  text,                                  -- open: learnt
  emergency  boolean NOT NULL,
  admitted   timestamp(0) NOT NULL CHECK (admitted >= '2023-01-01' AND admitted < '2026-01-01'),
  follow_up  date CHECK (follow_up BETWEEN '2023-01-01' AND '2026-12-31'),
  stay_days  smallint NOT NULL CHECK (stay_days >= 0 AND stay_days <= 180),
  charge     numeric(10,2) CHECK (charge >= 0 AND charge <= 500000),
  crp        double precision                       -- open: learnt
);
COMMENT ON TABLE admissions IS 'made up: admissions to a hospital that does not exist';

SELECT setseed(0.42) \g /dev/null

INSERT INTO admissions
SELECT age, sex, region,
       CASE WHEN u5 < 0.03 THEN NULL
            WHEN age >= 66 THEN CASE WHEN u6 < 0.75 THEN 'Public Senior' ELSE 'Unity Mutual' END
            ELSE (ARRAY['Unity Mutual', 'Public', 'Northern Life', 'Guild Health', 'Harbour', 'Teachers Fund',
                        'Alder & Finch', 'Railway Fund', 'Maritime', 'Summit'])[1 + floor(power(u6, 2.2) * 10)] END,
       ward, diagnosis, emergency,
       -- more of them in winter, emergencies at any hour, the others in the morning
       date_trunc('second', timestamp '2023-01-01'
                  + (day + 0.999 * CASE WHEN emergency THEN u7 ELSE 0.29 + 0.17 * u7 END) * interval '1 day'),
       CASE WHEN ward IN ('oncology', 'cardiology', 'orthopaedics') AND u8 < 0.8
            THEN date '2023-01-01' + (day + stay + 14 + floor(power(u9, 2) * 75))::int END,
       stay,
       CASE WHEN u10 >= 0.04
            THEN least(500000, round((180 + stay * (420 + 35 * severity)
                                      + severity * 900 * exp(1.1 * (u11 + u12 + u13 - 1.5)))::numeric, 2)) END,
       CASE WHEN u14 < CASE WHEN emergency THEN 0.92 ELSE 0.35 END
            THEN round(exp(0.7 + 0.28 * severity + 0.9 * (u15 + u11 - 1))::numeric, 1)::float8 END
FROM (
  SELECT *,
         least(180, floor(CASE ward WHEN 'obstetrics' THEN 2 + 3 * u16 ELSE
           -ln(1 - u16) * power(severity, 1.3) * (0.5 + age / 90.0)
             * CASE ward WHEN 'orthopaedics' THEN 1.7 WHEN 'paediatrics' THEN 0.6 ELSE 1.1 END END))::smallint AS stay
  FROM (
    SELECT *,
           -- neither sex has the other's; within a ward the first diagnoses are the most frequent, and the later ones
           -- the graver
           CASE WHEN u4 < 0.02 THEN NULL ELSE (CASE ward
             WHEN 'cardiology' THEN (ARRAY['I48 fibrillation', 'I50 heart failure', 'I20 angina', 'I21 infarction',
                                          'I47 tachycardia', 'I33 endocarditis'])
             WHEN 'obstetrics' THEN (ARRAY['O80 delivery', 'O82 caesarean',
                                          'O14 pre-eclampsia', 'O24 diabetes in pregnancy'])
             WHEN 'oncology' THEN (ARRAY[CASE sex WHEN 'male' THEN 'C61 prostate' ELSE 'C50 breast' END,
                                         'C18 colon', 'C34 lung', 'C90 myeloma', 'C25 pancreas'])
             WHEN 'orthopaedics' THEN (ARRAY['M17 knee', 'M16 hip', 'S52 forearm', 'S72 femur', 'S32 spine'])
             WHEN 'paediatrics' THEN (ARRAY['J21 bronchiolitis', 'A08 gastroenteritis', 'J45 asthma', 'G40 epilepsy'])
             ELSE (ARRAY['K35 appendicitis', 'K80 gallstones', 'K40 hernia', 'K57 diverticulitis',
                         'K56 obstruction', 'T81 complication'])
             END)[nth] END AS diagnosis,
           nth + CASE WHEN emergency THEN 1.5 ELSE 0 END AS severity
    FROM (
      SELECT *, 1 + floor(power(u3, 1.9) * CASE WHEN ward IN ('obstetrics', 'paediatrics') THEN 4
                                                WHEN ward IN ('cardiology', 'surgery') THEN 6 ELSE 5 END)::int AS nth
      FROM (
        SELECT *,
               (CASE WHEN age < 16 THEN CASE WHEN u2 < 0.85 THEN 'paediatrics' ELSE 'surgery' END
                     WHEN sex = 'female' AND age BETWEEN 18 AND 44 AND u2 < 0.52 THEN 'obstetrics'
                     WHEN age < 40 THEN CASE WHEN u2 < 0.6 THEN 'surgery' WHEN u2 < 0.9 THEN 'orthopaedics'
                                             ELSE 'cardiology' END
                     WHEN u2 < 0.34 THEN 'cardiology' WHEN u2 < 0.56 THEN 'orthopaedics' WHEN u2 < 0.76 THEN 'oncology'
                     ELSE 'surgery' END)::ward AS ward
        FROM (
          SELECT *, u1 < CASE WHEN age < 16 OR age > 75 THEN 0.62 ELSE 0.34 END AS emergency
          FROM (
            SELECT CASE WHEN a < 0.17 THEN floor(16 * power(a / 0.17, 1.6))
                        WHEN a < 0.42 THEN 18 + floor(27 * (a - 0.17) / 0.25)
                        ELSE least(104, 40 + floor(22 * (b + c + d) * 0.92)) END::int AS age,
                   (CASE WHEN e < 0.006 THEN 'other' WHEN e < 0.545 THEN 'female' ELSE 'male' END)::sex AS sex,
                   (ARRAY['capital', 'capital', 'capital', 'coast', 'coast', 'north', 'south', 'south-west',
                          'north-east'])[1 + floor(f * 9)] AS region,
                   floor(1095 * (g + 0.06 * sin(6 * pi() * g) / 6))::int AS day,
                   u[1] AS u1, u[2] AS u2, u[3] AS u3, u[4] AS u4, u[5] AS u5, u[6] AS u6, u[7] AS u7, u[8] AS u8,
                   u[9] AS u9, u[10] AS u10, u[11] AS u11, u[12] AS u12, u[13] AS u13, u[14] AS u14, u[15] AS u15,
                   u[16] AS u16
            FROM (
              SELECT u, u[17] AS a, u[18] AS b, u[19] AS c, u[20] AS d, u[21] AS e, u[22] AS f, u[23] AS g
              FROM (SELECT ARRAY[random(), random(), random(), random(), random(), random(), random(), random(),
                                 random(), random(), random(), random(), random(), random(), random(), random(),
                                 random(), random(), random(), random(), random(), random(), random()] AS u
                    FROM generate_series(1, 60000)) AS draws) AS named) AS person) AS arrival) AS warded) AS ranked
  ) AS diagnosed) AS treated;
