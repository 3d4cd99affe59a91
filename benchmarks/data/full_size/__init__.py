"""Cohorts of the size of published studies, and trainings on them that are watched from outside."""
