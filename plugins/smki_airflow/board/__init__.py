"""The board: one page in Airflow's UI that says whether every obligation is met, and puts right what is not."""
