from yoyo import step

steps = [step("INSERT INTO author VALUES (1)")]
