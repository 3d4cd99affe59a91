"""Figures of follow-up forecasts: head CTs of a patient, and the forecasts of a cohort."""
