DROP TABLE greeting;
