"""Results to findings and a verdict; opens no model."""
